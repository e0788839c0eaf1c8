-- Takes queued executions for one worker: from each lane up to that lane's room, of its engine's version or older.
-- Fair between tenants: whoever has least running goes first, so a burst of one tenant makes another wait for one
-- execution at most. Within a tenant the most urgent and oldest goes first, up to the tenant's limit. Those of a
-- workflow that limits how many of its executions run at once (they have a concurrency_key) are passed over while
-- as many run, and hold up no other. Raising the epoch fences off every earlier holder.
--
-- An execution whose worker died twice may be what kills workers. Such a suspect is taken one at a time, and only
-- when p_suspects says that no other runs in this worker: so those that merely ran beside it are not blamed with
-- it until they, too, are set aside.
--
-- Statistics are always late for a queue, which fills and empties in seconds: without sequential scans the planner
-- cannot choose to read all that ever ran in order to find that nothing waits. The same in the other functions.
--
-- What is taken is read with ledger_load: the answer here stays small, so that a worker which freezes while it
-- is being answered does not keep the lock below from everybody else.
CREATE FUNCTION ledger_claim(
    p_worker text, p_lanes text[], p_rooms integer[], p_suspects boolean, p_lease double precision,
    p_engine_version integer
)
RETURNS TABLE (id uuid, tenant_id uuid, lane text, epoch bigint, suspect boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    this_lane text;
    room integer;
    among_suspects boolean;
    taken integer;
    suspects_left integer := p_suspects::integer;
BEGIN
    IF NOT EXISTS (SELECT FROM executions e WHERE e.status = 'queued' AND e.lane = ANY (p_lanes)) THEN
        RETURN;
    END IF;
    -- One claim at a time: two that count what is running at once would both find room for more.
    PERFORM pg_advisory_xact_lock(hashtext('quarterdeck.ledger_claim'));
    FOR this_lane, room IN SELECT l.lane, l.room FROM unnest(p_lanes, p_rooms) AS l(lane, room) LOOP
        FOREACH among_suspects IN ARRAY ARRAY[true, false] LOOP
            CONTINUE WHEN room <= 0;
            CONTINUE WHEN among_suspects AND (suspects_left = 0 OR NOT EXISTS (
                SELECT FROM executions e WHERE e.status = 'queued' AND e.attempts >= 2 AND e.lane = this_lane
            ));
            RETURN QUERY
            WITH RECURSIVE waiting AS (
                -- The tenants that have queued work, by hopping over the queue's index rather than reading it.
                (
                    SELECT e.tenant_id FROM executions e
                    WHERE e.status = 'queued' AND e.lane = this_lane ORDER BY e.tenant_id LIMIT 1
                )
                UNION ALL
                SELECT (
                    SELECT e.tenant_id FROM executions e
                    WHERE e.status = 'queued' AND e.lane = this_lane AND e.tenant_id > w.tenant_id
                    ORDER BY e.tenant_id LIMIT 1
                )
                FROM waiting w WHERE w.tenant_id IS NOT NULL
            ), tenants_counted AS (
                SELECT t.id, t.max_running, (
                    SELECT count(*) FROM executions r WHERE r.status = 'running' AND r.tenant_id = t.id
                ) AS running
                FROM waiting w JOIN tenants t ON t.id = w.tenant_id
            ), tenants_waiting AS (
                SELECT t.id, t.running, least(room, t.max_running - t.running) AS free
                FROM tenants_counted t WHERE t.max_running > t.running
            ), limited AS (
                -- The same for the limited workflows of each.
                SELECT t.id, (
                    SELECT e.concurrency_key FROM executions e
                    WHERE e.status = 'queued' AND e.lane = this_lane AND e.tenant_id = t.id
                        AND e.concurrency_key IS NOT NULL
                    ORDER BY e.concurrency_key LIMIT 1
                ) AS key
                FROM tenants_waiting t
                UNION ALL
                SELECT l.id, (
                    SELECT e.concurrency_key FROM executions e
                    WHERE e.status = 'queued' AND e.lane = this_lane AND e.tenant_id = l.id
                        AND e.concurrency_key > l.key
                    ORDER BY e.concurrency_key LIMIT 1
                )
                FROM limited l WHERE l.key IS NOT NULL
            ), candidates AS (
                -- Of each tenant: from what knows no further limit ...
                SELECT t.id AS tenant_id, c.id, c.priority
                FROM tenants_waiting t CROSS JOIN LATERAL (
                    SELECT q.id, q.priority FROM executions q
                    WHERE q.status = 'queued' AND q.lane = this_lane AND q.tenant_id = t.id
                        AND q.concurrency_key IS NULL
                        AND q.engine_version <= p_engine_version AND (q.attempts >= 2) = among_suspects
                    ORDER BY q.concurrency_key, q.priority DESC, q.id  -- null all, but so it is the index's order
                    LIMIT t.free
                ) c
                UNION ALL
                -- ... and from each limited workflow as many as may still run of it.
                SELECT t.id, c.id, c.priority
                FROM limited l JOIN tenants_waiting t ON t.id = l.id
                LEFT JOIN workflows w ON w.id = l.key
                CROSS JOIN LATERAL (
                    SELECT q.id, q.priority FROM executions q
                    WHERE q.status = 'queued' AND q.lane = this_lane AND q.tenant_id = t.id
                        AND q.concurrency_key = l.key
                        AND q.engine_version <= p_engine_version AND (q.attempts >= 2) = among_suspects
                    ORDER BY q.priority DESC, q.id
                    LIMIT greatest(0, least(t.free, w.max_running - (
                        SELECT count(*) FROM executions r WHERE r.status = 'running' AND r.concurrency_key = l.key
                    )))
                ) c
                WHERE l.key IS NOT NULL
            ), placed AS (
                SELECT c.tenant_id, c.id,
                    row_number() OVER (PARTITION BY c.tenant_id ORDER BY c.priority DESC, c.id) AS place
                FROM candidates c
            ), chosen AS (
                SELECT p.id FROM placed p JOIN tenants_waiting t ON t.id = p.tenant_id
                WHERE p.place <= t.free
                ORDER BY t.running + p.place, p.id
                LIMIT CASE WHEN among_suspects THEN least(room, suspects_left) ELSE room END
            ), mine AS (
                SELECT e.id FROM executions e JOIN chosen c ON c.id = e.id
                WHERE e.status = 'queued'
                FOR NO KEY UPDATE OF e SKIP LOCKED
            )
            UPDATE executions e
            SET status = 'running',
                epoch = e.epoch + 1,
                last_write = 0,
                worker = p_worker,
                lease_until = now() + make_interval(secs => p_lease),
                claimed_at = now(),
                started_at = coalesce(e.started_at, now()),
                -- What a newer engine has begun to write, an older one would not understand.
                engine_version = greatest(e.engine_version, p_engine_version)
            FROM mine
            WHERE e.id = mine.id
            RETURNING e.id, e.tenant_id, e.lane, e.epoch, among_suspects;
            GET DIAGNOSTICS taken = ROW_COUNT;
            room := room - taken;
            IF among_suspects THEN
                suspects_left := suspects_left - taken;
            END IF;
        END LOOP;
    END LOOP;
END
$$
