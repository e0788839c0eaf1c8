-- Ends an execution that no worker holds: its open steps and waits with it, and its stream with `done`. The caller
-- has locked the row and seen that nobody runs it. Runs with the caller's rights: the tenant's own when it cancels,
-- the system's in the reaper.
CREATE FUNCTION ledger_settle(p_id uuid, p_status text, p_error jsonb)
RETURNS SETOF execution_events
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    ended executions;
    closed integer;
BEGIN
    UPDATE executions e
    SET status = p_status, error = p_error, epoch = e.epoch + 1, lease_until = NULL, finished_at = now()
    WHERE e.id = p_id
    RETURNING * INTO STRICT ended;

    RETURN QUERY
    WITH steps AS (
        UPDATE task_executions s
        SET status = p_status, error = p_error, finished_at = now()
        WHERE s.execution_id = p_id AND s.status IN ('running', 'waiting')
        RETURNING s.*
    )
    INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, node, path, attempt, data)
    SELECT p_id, ended.last_seq + row_number() OVER (ORDER BY s.id), ended.tenant_id, 'step.finished', now(),
        s.node, s.path, s.attempt,
        jsonb_build_object(
            'status', p_status, 'output', NULL, 'error', p_error,
            'duration_ms', round(extract(epoch FROM now() - s.started_at) * 1000)::bigint
        )
    FROM steps s
    RETURNING *;
    GET DIAGNOSTICS closed = ROW_COUNT;

    RETURN QUERY
    INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
    VALUES (
        p_id, ended.last_seq + closed + 1, ended.tenant_id, 'done', now(),
        jsonb_build_object('status', p_status, 'output', NULL, 'error', p_error)
    )
    RETURNING *;
    UPDATE executions e SET last_seq = ended.last_seq + closed + 1 WHERE e.id = p_id;
    PERFORM ledger_end_waits(ARRAY[p_id]);
END
$$
