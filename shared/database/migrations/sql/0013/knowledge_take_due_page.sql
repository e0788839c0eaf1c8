-- The web page that has been due the longest to be fetched again, locked until the caller's transaction ends: who
-- submits that moves refresh_at in that transaction. Safe to call in several places at once: nobody waits for
-- another's page, nor for one that is just being changed or deleted.
CREATE FUNCTION knowledge_take_due_page()
RETURNS TABLE (id uuid, tenant_id uuid, refresh_at timestamptz, taken_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT d.id, d.tenant_id, d.refresh_at, now()
    FROM documents d
    WHERE d.refresh_at <= now() AND d.refresh_seconds > 0
    ORDER BY d.refresh_at LIMIT 1
    FOR NO KEY UPDATE OF d SKIP LOCKED
$$
