-- Takes the pause from an execution and all below it: one that is paused is queued, and finds what was answered
-- meanwhile; one that its worker has not let go of yet goes on. Answers with what was written to their streams: nothing
-- if none was paused.
CREATE FUNCTION ledger_resume(p_id uuid)
RETURNS SETOF execution_events
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    ids uuid[] := ledger_lock_tree(p_id);
BEGIN
    RETURN QUERY
    WITH unflagged AS (
        UPDATE executions e
        SET pause_requested_at = NULL, last_seq = e.last_seq + 1,
            status = CASE WHEN e.status = 'paused' THEN 'queued' ELSE e.status END
        WHERE e.id = ANY (ids) AND e.pause_requested_at IS NOT NULL AND e.finished_at IS NULL
        RETURNING e.id, e.tenant_id, e.last_seq, e.status
    )
    INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
    SELECT u.id, u.last_seq, u.tenant_id, 'execution.status', now(),
        jsonb_build_object('status', u.status, 'pause_requested', false)
    FROM unflagged u
    RETURNING *;
END
$$
