-- Deliveries to attempt now, at most p_room, and of each tenant at most p_per_tenant; of those in p_busy none. Whoever
-- takes one has it until the lease ends; if nothing was recorded by then, it is due again. The attempt's number tells
-- a late answer from that of the next attempt.
CREATE FUNCTION webhook_claim(p_room integer, p_per_tenant integer, p_busy uuid[], p_lease double precision)
RETURNS TABLE (id uuid, tenant_id uuid, attempt integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
    WITH RECURSIVE tenants_sending AS (
        (
            SELECT d.tenant_id FROM webhook_deliveries d WHERE d.status = 'pending' ORDER BY d.tenant_id LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT d.tenant_id FROM webhook_deliveries d
            WHERE d.status = 'pending' AND d.tenant_id > s.tenant_id
            ORDER BY d.tenant_id LIMIT 1
        )
        FROM tenants_sending s WHERE s.tenant_id IS NOT NULL
    ), chosen AS (
        SELECT c.id
        FROM tenants_sending s CROSS JOIN LATERAL (
            SELECT d.id, row_number() OVER (ORDER BY d.next_attempt_at, d.id) AS place
            FROM webhook_deliveries d
            WHERE d.status = 'pending' AND d.tenant_id = s.tenant_id AND d.next_attempt_at <= now()
            ORDER BY d.next_attempt_at, d.id
            LIMIT p_per_tenant
        ) c
        WHERE s.tenant_id <> ALL (p_busy)
        ORDER BY c.place, c.id
        LIMIT p_room
    ), mine AS (
        SELECT d.id FROM webhook_deliveries d JOIN chosen c ON c.id = d.id
        WHERE d.status = 'pending' AND d.next_attempt_at <= now()
        FOR NO KEY UPDATE OF d SKIP LOCKED
    )
    UPDATE webhook_deliveries d
    SET attempts = d.attempts + 1, last_attempt_at = now(), next_attempt_at = now() + make_interval(secs => p_lease)
    FROM mine m
    WHERE d.id = m.id
    RETURNING d.id, d.tenant_id, d.attempts
$$
