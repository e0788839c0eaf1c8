-- Settles what an earlier worker of the execution left reserved: by the journal, if the call is on record there, and
-- else given back. For the worker that holds it now, before its first call.
CREATE FUNCTION budget_recover(p_tenant uuid, p_execution uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
AS $$
DECLARE
    left_over record;
BEGIN
    PERFORM set_config('app.tenant_id', p_tenant::text, true);
    FOR left_over IN
        SELECT DISTINCT r.call_id, c.finished_at IS NOT NULL AS made,
            coalesce(c.input_tokens + c.output_tokens, 0)::bigint AS tokens, coalesce(c.cost, 0) AS cost
        FROM budget_reservations r LEFT JOIN calls c ON c.id = r.call_id
        WHERE r.execution_id = p_execution
        ORDER BY r.call_id
    LOOP
        IF left_over.made THEN
            PERFORM budget_settle(
                p_tenant, ARRAY[left_over.call_id], ARRAY[left_over.tokens], ARRAY[left_over.cost]
            );
        ELSE
            PERFORM budget_release(left_over.call_id);
        END IF;
    END LOOP;
END
$$
