-- Settles what was left reserved by executions that nobody holds any more, and forgets the budgets of executions that
-- are gone. What a worker holds, it settles itself. Answers how many executions it settled.
CREATE FUNCTION budget_reconcile(p_older_than double precision)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    left_over record;
    settled integer := 0;
    asking text := current_setting('app.tenant_id', true);
BEGIN
    FOR left_over IN
        SELECT DISTINCT r.tenant_id, r.execution_id
        FROM budget_reservations r LEFT JOIN executions e ON e.id = r.execution_id
        WHERE r.created_at < now() - make_interval(secs => p_older_than)
            AND (e.id IS NULL OR e.status <> 'running')
        LIMIT 100
    LOOP
        -- Held until it is done: a worker that took it meanwhile would reserve for calls of its own.
        PERFORM FROM executions e
        WHERE e.id = left_over.execution_id AND e.status <> 'running' FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND AND EXISTS (SELECT FROM executions e WHERE e.id = left_over.execution_id);
        PERFORM budget_recover(left_over.tenant_id, left_over.execution_id);
        settled := settled + 1;
    END LOOP;
    PERFORM set_config('app.tenant_id', coalesce(asking, ''), true);
    DELETE FROM budgets b
    WHERE b.scope = 'execution' AND NOT EXISTS (SELECT FROM executions e WHERE e.id = b.scope_id);
    RETURN settled;
END
$$
