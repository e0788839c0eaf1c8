-- Tells an execution that a wait of it was settled: one that waits is queued, one that runs is to look. Answers with
-- what was written to its stream. The caller has locked it.
CREATE FUNCTION ledger_wake(p_id uuid)
RETURNS SETOF execution_events
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    was text;
BEGIN
    SELECT e.status INTO was FROM executions e WHERE e.id = p_id;
    UPDATE executions e
    SET wakes = e.wakes + 1,
        status = CASE WHEN was = 'waiting' THEN 'queued' ELSE e.status END,
        last_seq = e.last_seq + (was = 'waiting')::integer
    WHERE e.id = p_id AND e.finished_at IS NULL;
    IF was = 'waiting' THEN
        RETURN QUERY
        INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
        SELECT e.id, e.last_seq, e.tenant_id, 'execution.status', now(), '{"status": "queued", "reason": "answered"}'
        FROM executions e WHERE e.id = p_id
        RETURNING *;
    END IF;
END
$$
