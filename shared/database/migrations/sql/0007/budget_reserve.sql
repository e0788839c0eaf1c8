-- Holds back what a call may spend, of every budget that it falls under, or of none. Answers with the budgets that
-- have not enough left; no row says that all is reserved. With p_force it is reserved all the same: a person said so.
-- A call that is made again, because its worker died, takes the place of its earlier reservation.
--
-- Periods are locked in the order of budgets, so that two calls never wait for one another.
CREATE FUNCTION budget_reserve(
    p_tenant uuid, p_call uuid, p_execution uuid, p_root uuid, p_workflow uuid, p_agent uuid, p_model uuid,
    p_tokens bigint, p_cost numeric, p_force boolean
)
RETURNS TABLE (
    budget_id uuid, name text, standing boolean, on_exceeded text, max_tokens bigint, max_cost numeric, max_calls bigint,
    tokens bigint, cost numeric, calls bigint
)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    matching uuid[];
    starts date[];
    refused integer;
BEGIN
    PERFORM set_config('app.tenant_id', p_tenant::text, true);

    -- The budget of the execution itself, which counts what its children spend too.
    INSERT INTO budgets (id, tenant_id, name, scope, scope_id, period, tokens, cost, calls, on_exceeded)
    SELECT e.id, p_tenant, 'execution ' || e.id, 'execution', e.id, 'total', (e.budget ->> 'tokens')::bigint,
        (e.budget ->> 'cost')::numeric, (e.budget ->> 'calls')::bigint, coalesce(e.budget ->> 'on_exceeded', 'fail')
    FROM executions e
    WHERE e.id = p_root AND e.budget IS NOT NULL
    ON CONFLICT DO NOTHING;

    SELECT array_agg(b.id ORDER BY b.id), array_agg(budget_period_start(b.period) ORDER BY b.id)
    INTO matching, starts
    FROM budgets b
    WHERE b.enabled AND (
        b.scope = 'tenant'
        OR (b.scope = 'execution' AND b.scope_id = p_root)
        OR (b.scope = 'workflow' AND b.scope_id = p_workflow)
        OR (b.scope = 'agent' AND b.scope_id = p_agent)
        OR (b.scope = 'model' AND b.scope_id = p_model)
    );
    IF matching IS NULL THEN
        RETURN;
    END IF;

    INSERT INTO budget_periods (tenant_id, budget_id, starts_on)
    SELECT p_tenant, m.budget_id, m.starts_on
    FROM unnest(matching, starts) AS m(budget_id, starts_on)
    ON CONFLICT DO NOTHING;
    PERFORM FROM budget_periods p
    JOIN unnest(matching, starts) AS m(budget_id, starts_on) USING (budget_id, starts_on)
    ORDER BY p.budget_id FOR UPDATE OF p;
    PERFORM budget_release(p_call);

    IF NOT p_force THEN
        RETURN QUERY
        SELECT b.id, b.name, b.scope <> 'execution', b.on_exceeded, b.tokens, b.cost, b.calls,
            p.tokens + p.reserved_tokens, p.cost + p.reserved_cost, p.calls + p.reserved_calls
        FROM unnest(matching, starts) AS m(budget_id, starts_on)
        JOIN budgets b ON b.id = m.budget_id
        JOIN budget_periods p ON p.budget_id = m.budget_id AND p.starts_on = m.starts_on
        WHERE p.tokens + p.reserved_tokens + p_tokens > b.tokens
            OR p.cost + p.reserved_cost + p_cost > b.cost
            OR p.calls + p.reserved_calls + 1 > b.calls
        ORDER BY b.id;
        GET DIAGNOSTICS refused = ROW_COUNT;
        IF refused > 0 THEN
            RETURN;
        END IF;
    END IF;

    INSERT INTO budget_reservations (tenant_id, call_id, budget_id, execution_id, starts_on, tokens, cost)
    SELECT p_tenant, p_call, m.budget_id, p_execution, m.starts_on, p_tokens, p_cost
    FROM unnest(matching, starts) AS m(budget_id, starts_on);
    UPDATE budget_periods p
    SET reserved_tokens = p.reserved_tokens + p_tokens,
        reserved_cost = p.reserved_cost + p_cost,
        reserved_calls = p.reserved_calls + 1
    FROM unnest(matching, starts) AS m(budget_id, starts_on)
    WHERE p.budget_id = m.budget_id AND p.starts_on = m.starts_on;
END
$$
