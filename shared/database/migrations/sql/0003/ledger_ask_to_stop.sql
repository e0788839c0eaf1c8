-- Cancels one execution that has not ended, of which the caller holds the lock: one that no worker holds ends here and
-- now; a running one is flagged, once, and its worker ends it. Answers with what was written to its stream.
CREATE FUNCTION ledger_ask_to_stop(p_held executions)
RETURNS SETOF execution_events
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    IF p_held.finished_at IS NOT NULL OR (p_held.status = 'running' AND p_held.cancel_requested_at IS NOT NULL) THEN
        RETURN;
    END IF;
    UPDATE executions e
    SET cancel_requested_at = coalesce(e.cancel_requested_at, now()),
        last_seq = e.last_seq + (p_held.status = 'running')::integer
    WHERE e.id = p_held.id;
    IF p_held.status <> 'running' THEN
        RETURN QUERY SELECT * FROM ledger_settle(p_held.id, 'cancelled', NULL);
        RETURN;
    END IF;
    RETURN QUERY
    INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
    VALUES (
        p_held.id, p_held.last_seq + 1, p_held.tenant_id, 'execution.status', now(),
        '{"status": "running", "cancel_requested": true}'
    )
    RETURNING *;
END
$$
