-- The tenants with vectors that should be gone and were not tried to be deleted for so many seconds; who asks
-- tries next. Safe to run in several places at once.
CREATE FUNCTION knowledge_overdue_purges(p_age double precision)
RETURNS SETOF uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH overdue AS (
        SELECT p.id FROM knowledge_purges p
        WHERE p.tried_at < now() - make_interval(secs => p_age)
        ORDER BY p.tried_at LIMIT 1000 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE knowledge_purges p SET tried_at = now() FROM overdue o WHERE p.id = o.id RETURNING p.tenant_id
    )
    SELECT DISTINCT t.tenant_id FROM taken t
$$
