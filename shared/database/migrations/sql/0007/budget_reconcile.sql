-- Settles reservations whose worker died before it could: by the journal, if the call is on record there; given back,
-- if it is not and its execution is held by nobody. A call that is under way is left alone. Answers how many.
CREATE FUNCTION budget_reconcile(p_older_than double precision)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    left_over record;
    settled integer := 0;
BEGIN
    FOR left_over IN
        SELECT DISTINCT r.tenant_id, r.call_id,
            c.finished_at IS NOT NULL AS made,
            coalesce(c.input_tokens + c.output_tokens, 0)::bigint AS tokens, coalesce(c.cost, 0) AS cost
        FROM budget_reservations r
        LEFT JOIN calls c ON c.id = r.call_id
        LEFT JOIN executions e ON e.id = r.execution_id
        WHERE r.created_at < now() - make_interval(secs => p_older_than)
            AND (c.finished_at IS NOT NULL OR e.id IS NULL OR e.status <> 'running')
        LIMIT 500
    LOOP
        IF left_over.made THEN
            PERFORM budget_settle(
                left_over.tenant_id, ARRAY[left_over.call_id], ARRAY[left_over.tokens], ARRAY[left_over.cost]
            );
        ELSE
            PERFORM budget_release(left_over.call_id);
        END IF;
        settled := settled + 1;
    END LOOP;
    RETURN settled;
END
$$
