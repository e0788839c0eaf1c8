-- Pauses an execution and all below it, in one go: one that no worker holds is paused here and now, a running one is
-- flagged and its worker lets go of it. One that has been asked to stop is left to it. Answers with what was
-- written to their streams: nothing if all had been asked before.
CREATE FUNCTION ledger_pause(p_id uuid)
RETURNS SETOF execution_events
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    ids uuid[] := ledger_lock_tree(p_id);
BEGIN
    RETURN QUERY
    WITH flagged AS (
        UPDATE executions e
        SET pause_requested_at = now(), last_seq = e.last_seq + 1,
            status = CASE WHEN e.status = 'running' THEN 'running' ELSE 'paused' END
        WHERE e.id = ANY (ids) AND e.pause_requested_at IS NULL AND e.cancel_requested_at IS NULL
            AND e.finished_at IS NULL
        RETURNING e.id, e.tenant_id, e.last_seq, e.status
    )
    INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
    SELECT f.id, f.last_seq, f.tenant_id, 'execution.status', now(),
        jsonb_build_object('status', f.status, 'pause_requested', true)
    FROM flagged f
    RETURNING *;
END
$$
