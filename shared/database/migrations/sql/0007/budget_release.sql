-- Gives back what was held back for a call.
CREATE FUNCTION budget_release(p_call uuid)
RETURNS void
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM budget_reservations r WHERE r.call_id = p_call RETURNING r.budget_id, r.starts_on, r.tokens, r.cost
    )
    UPDATE budget_periods p
    SET reserved_tokens = p.reserved_tokens - gone.tokens,
        reserved_cost = p.reserved_cost - gone.cost,
        reserved_calls = p.reserved_calls - 1
    FROM gone
    WHERE p.budget_id = gone.budget_id AND p.starts_on = gone.starts_on
$$
