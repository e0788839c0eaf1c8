-- The schedule that has been due the longest, locked until the caller's transaction ends: who fires it moves
-- next_fire_at in that transaction. Safe to call in several places at once: nobody waits for another's schedule, nor
-- for a workflow that is just being changed or deleted.
CREATE FUNCTION trigger_take_due()
RETURNS TABLE (id uuid, tenant_id uuid, acts_for uuid, taken_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT t.id, t.tenant_id, t.acts_for, now()
    FROM triggers t JOIN workflows w ON w.id = t.workflow_id
    WHERE t.enabled AND t.next_fire_at <= now()
    ORDER BY t.next_fire_at LIMIT 1
    FOR NO KEY UPDATE OF t SKIP LOCKED FOR KEY SHARE OF w SKIP LOCKED
$$
