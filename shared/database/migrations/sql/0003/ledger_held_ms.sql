-- How long a worker has held an execution by now, or by the end of its lease if that is over.
CREATE FUNCTION ledger_held_ms(p_claimed_at timestamptz, p_lease_until timestamptz)
RETURNS bigint
LANGUAGE sql STABLE SECURITY INVOKER
AS $$
    SELECT greatest(0, coalesce(
        extract(epoch FROM least(now(), p_lease_until) - p_claimed_at) * 1000, 0
    ))::bigint
$$
