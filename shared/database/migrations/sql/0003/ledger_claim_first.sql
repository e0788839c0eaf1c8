-- For workers of the first engine, while a newer one takes their place.
CREATE FUNCTION ledger_claim(
    p_worker text, p_lanes text[], p_rooms integer[], p_suspects boolean, p_lease double precision
)
RETURNS TABLE (id uuid, tenant_id uuid, lane text, epoch bigint, suspect boolean)
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
AS $$
    SELECT * FROM ledger_claim(p_worker, p_lanes, p_rooms, p_suspects, p_lease, 1)
$$
