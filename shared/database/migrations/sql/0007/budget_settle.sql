-- Calls were made: what each held back is given back, and what it used is spent. A call without a reservation, because
-- it was settled before, changes nothing. Locks in the order of budgets, as budget_reserve does.
CREATE FUNCTION budget_settle(p_tenant uuid, p_calls uuid[], p_tokens bigint[], p_costs numeric[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM set_config('app.tenant_id', p_tenant::text, true);
    PERFORM FROM budget_periods p
    WHERE (p.budget_id, p.starts_on) IN (
        SELECT r.budget_id, r.starts_on FROM budget_reservations r WHERE r.call_id = ANY (p_calls)
    )
    ORDER BY p.budget_id, p.starts_on FOR UPDATE;
    WITH gone AS (
        DELETE FROM budget_reservations r WHERE r.call_id = ANY (p_calls)
        RETURNING r.call_id, r.budget_id, r.starts_on, r.tokens, r.cost
    ), used AS (
        SELECT g.budget_id, g.starts_on, sum(g.tokens) AS reserved_tokens, sum(g.cost) AS reserved_cost,
            sum(u.tokens) AS tokens, sum(u.cost) AS cost, count(*) AS calls
        FROM gone g JOIN unnest(p_calls, p_tokens, p_costs) AS u(call_id, tokens, cost) USING (call_id)
        GROUP BY g.budget_id, g.starts_on
    )
    UPDATE budget_periods p
    SET reserved_tokens = p.reserved_tokens - used.reserved_tokens,
        reserved_cost = p.reserved_cost - used.reserved_cost,
        reserved_calls = p.reserved_calls - used.calls,
        tokens = p.tokens + used.tokens,
        cost = p.cost + used.cost,
        calls = p.calls + used.calls
    FROM used
    WHERE p.budget_id = used.budget_id AND p.starts_on = used.starts_on;
END
$$
