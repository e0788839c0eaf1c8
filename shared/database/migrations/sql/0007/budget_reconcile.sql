-- Settles what was left reserved by executions that nobody holds any more, and forgets the budgets of executions that
-- are gone. What a worker holds, it settles itself. Answers how many executions it settled.
CREATE FUNCTION budget_reconcile(p_older_than double precision)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    left_over record;
    settled integer := 0;
BEGIN
    FOR left_over IN
        SELECT DISTINCT r.tenant_id, r.execution_id
        FROM budget_reservations r LEFT JOIN executions e ON e.id = r.execution_id
        WHERE r.created_at < now() - make_interval(secs => p_older_than)
            AND (e.id IS NULL OR e.status <> 'running')
        LIMIT 100
    LOOP
        PERFORM budget_recover(left_over.tenant_id, left_over.execution_id);
        settled := settled + 1;
    END LOOP;
    DELETE FROM budgets b
    WHERE b.scope = 'execution' AND NOT EXISTS (SELECT FROM executions e WHERE e.id = b.scope_id);
    RETURN settled;
END
$$
