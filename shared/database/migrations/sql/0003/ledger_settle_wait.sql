-- Settles a wait, if nobody has settled it before, and tells its execution: `won` says whether it was this call, and
-- `status` is what the execution is now: one that is `queued` is to be rung for, one that is `running` to be told to
-- look. No row: there is no such wait. Runs with the rights of whoever answers.
CREATE FUNCTION ledger_settle_wait(p_wait uuid, p_status text, p_answer jsonb, p_by uuid)
RETURNS TABLE (won boolean, execution_id uuid, status text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    held executions;
BEGIN
    -- The execution first: whoever parks it at this moment is either before us and finds us, or we find it waiting.
    SELECT e.* INTO held FROM executions e
    WHERE e.id = (SELECT w.execution_id FROM waits w WHERE w.id = p_wait)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE waits w
    SET status = p_status, answer = p_answer, answered_by = p_by, settled_at = now(), told = true
    WHERE w.id = p_wait AND w.status = 'open';
    IF NOT FOUND THEN
        RETURN QUERY SELECT false, held.id, held.status;
        RETURN;
    END IF;
    PERFORM ledger_wake(held.id);
    RETURN QUERY SELECT true, held.id, e.status FROM executions e WHERE e.id = held.id;
END
$$
