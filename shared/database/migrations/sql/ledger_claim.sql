-- Takes up to p_capacity queued executions for one worker. Fair between tenants: whoever has least running
-- goes first, so a burst of one tenant makes another wait for one execution at most. Within a tenant the most
-- urgent and oldest goes first, up to the tenant's limit. Raising the epoch fences off every earlier holder.
CREATE FUNCTION ledger_claim(p_worker text, p_lanes text[], p_capacity integer, p_lease double precision)
RETURNS TABLE (
    id uuid, tenant_id uuid, kind text, epoch bigint, attempts smallint,
    spec jsonb, inputs jsonb, created_at timestamptz, cancel_requested boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    room integer := p_capacity;
    taken integer;
BEGIN
    -- Rows that another worker is just taking are skipped; look again for others in their place.
    FOR round IN 1..3 LOOP
        EXIT WHEN room <= 0;
        RETURN QUERY
        WITH RECURSIVE waiting AS (
            -- The tenants that have queued work, by hopping over the queue's index rather than reading it.
            SELECT l.lane, (
                SELECT e.tenant_id FROM executions e
                WHERE e.status = 'queued' AND e.lane = l.lane ORDER BY e.tenant_id LIMIT 1
            ) AS tenant
            FROM unnest(p_lanes) AS l(lane)
            UNION ALL
            SELECT w.lane, (
                SELECT e.tenant_id FROM executions e
                WHERE e.status = 'queued' AND e.lane = w.lane AND e.tenant_id > w.tenant
                ORDER BY e.tenant_id LIMIT 1
            )
            FROM waiting w WHERE w.tenant IS NOT NULL
        ), tenants_waiting AS (
            SELECT DISTINCT w.tenant, t.max_running, (
                SELECT count(*) FROM executions r WHERE r.status = 'running' AND r.tenant_id = w.tenant
            ) AS running
            FROM waiting w JOIN tenants t ON t.id = w.tenant
        ), chosen AS (
            SELECT c.id
            FROM tenants_waiting w CROSS JOIN LATERAL (
                SELECT q.id, row_number() OVER (ORDER BY q.priority DESC, q.id) AS place
                FROM executions q
                WHERE q.status = 'queued' AND q.lane = ANY (p_lanes) AND q.tenant_id = w.tenant
                ORDER BY q.priority DESC, q.id
                LIMIT greatest(0, least(room, w.max_running - w.running))
            ) c
            ORDER BY w.running + c.place, c.id
            LIMIT room
        ), mine AS (
            SELECT e.id FROM executions e JOIN chosen c ON c.id = e.id
            WHERE e.status = 'queued'
            FOR UPDATE OF e SKIP LOCKED
        )
        UPDATE executions e
        SET status = 'running',
            epoch = e.epoch + 1,
            worker = p_worker,
            lease_until = now() + make_interval(secs => p_lease),
            started_at = coalesce(e.started_at, now())
        FROM mine
        WHERE e.id = mine.id
        RETURNING e.id, e.tenant_id, e.kind, e.epoch, e.attempts, e.spec, e.inputs, e.created_at,
            e.cancel_requested_at IS NOT NULL;
        GET DIAGNOSTICS taken = ROW_COUNT;
        EXIT WHEN taken = 0;
        room := room - taken;
    END LOOP;
END
$$
