-- Cancels an execution and all below it, in one go: see ledger_ask_to_stop. Answers with what was written to their
-- streams: nothing if there was nothing left to stop, or all had been asked before.
CREATE FUNCTION ledger_cancel(p_id uuid)
RETURNS SETOF execution_events
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    ids uuid[] := ledger_lock_tree(p_id);
    held executions;
BEGIN
    FOR held IN SELECT * FROM executions e WHERE e.id = ANY (ids) AND e.finished_at IS NULL ORDER BY e.id LOOP
        RETURN QUERY SELECT * FROM ledger_ask_to_stop(held);
    END LOOP;
END
$$
