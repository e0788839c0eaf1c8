-- What is due for waits, of all tenants, up to p_limit of each sort: those past their time expire, those that nobody
-- answered go to whom they escalate to, and what was settled without telling its execution is told. So timers fire, and
-- parents hear of their children. A child that nobody waits for any more, because its parent ended, is cancelled. Of one
-- execution no more than p_limit are told at once, and of all a few times that: one with thousands of children must
-- not take longer than anybody waits for the answer, or nothing would ever be told again.
--
-- Answers with what happened: 'event' (a line of execution `id`'s stream, as its row), 'look' (the worker that runs
-- `id` is to look at once), 'settled' and 'escalated' (wait `id`, which asks a person), and 'again' when there is
-- more to do, or was held by others at this moment. It never waits for a lock on an execution, so any number of these
-- can run at once, beside everything else.
CREATE FUNCTION ledger_sweep(p_limit integer)
RETURNS TABLE (what text, tenant_id uuid, id uuid, line jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    concerned uuid;
    held executions;
    said integer;
    left_to_say integer := 5 * p_limit;
BEGIN
    FOR concerned IN
        (
            SELECT d.execution_id FROM waits d
            WHERE d.status = 'open' AND d.due_at <= now() ORDER BY d.due_at LIMIT p_limit
        )
        UNION
        (
            SELECT u.execution_id FROM waits u
            WHERE u.status <> 'open' AND NOT u.told ORDER BY u.settled_at LIMIT p_limit
        )
    LOOP
        SELECT e.* INTO held FROM executions e WHERE e.id = concerned FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            RETURN QUERY SELECT * FROM ledger_sweep_execution(held, p_limit);
            GET DIAGNOSTICS said = ROW_COUNT;
            left_to_say := left_to_say - said;
            EXIT WHEN left_to_say <= 0;
        END IF;
    END LOOP;

    RETURN QUERY
    WITH overdue AS (
        SELECT w.id FROM waits w
        WHERE w.status = 'open' AND w.escalate_at <= now() AND w.escalated_at IS NULL
        ORDER BY w.escalate_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE waits w
    SET assignee_user_id = w.escalate_user_id, assignee_role = w.escalate_role, escalated_at = now()
    FROM overdue o
    WHERE w.id = o.id
    RETURNING 'escalated', w.tenant_id, w.id, NULL::jsonb;

    IF EXISTS (SELECT FROM waits w WHERE w.status = 'open' AND w.due_at <= now())
        OR EXISTS (SELECT FROM waits w WHERE w.status <> 'open' AND NOT w.told)
        OR EXISTS (SELECT FROM waits w WHERE w.status = 'open' AND w.escalate_at <= now() AND w.escalated_at IS NULL)
    THEN
        RETURN QUERY SELECT 'again', NULL::uuid, NULL::uuid, NULL::jsonb;
    END IF;
END
$$
