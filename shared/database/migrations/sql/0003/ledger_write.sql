-- Writes what several executions of one tenant have to record, each under its holder's epoch, in one transaction
-- and one round trip. Answers with the executions that were written and the last `seq` each has now; one that is
-- missing from the answer belongs to another worker, and nothing of it was written. A write that is sent again
-- because its answer was lost is known by its number and not applied twice; its `last_seq` is null.
--
-- A holder that lets go may be contradicted by what it has not heard yet: an execution that was asked to stop or
-- whose wait was settled meanwhile is queued instead of waiting, one that was asked to pause is paused, one that was
-- resumed is queued. That is one more line of its stream, which comes back as `further`, after `last_seq`. `sweep` says that
-- ledger_sweep has something to tell.
--
-- A single statement for the caller on purpose: it commits without another word from the worker, so a worker
-- that freezes at any point holds no lock.
--
-- A connection keeps the plans that it made when the tables were small and nobody had counted their rows. Whatever
-- reads a tenant's rows once, to join or to remember them, then looks cheapest, and costs more with every execution of
-- the tenant. So nothing is left to join with but single rows, looked up by their ids; and as every plan is the same
-- then, none is made anew for the values at hand, which took a tenth of a lone write.
CREATE FUNCTION ledger_write(
    p_tenant uuid, p_writes jsonb, p_steps jsonb, p_calls jsonb, p_events jsonb, p_waits jsonb
)
RETURNS TABLE (id uuid, last_seq bigint, further jsonb, sweep boolean)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_material = off SET enable_memoize = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    ids uuid[];
    lasts bigint[];
    starts bigint[];
    -- Those that have ended, and those that let go and whose status is another than was sent.
    ended uuid[];
    contradicted uuid[];
    lines jsonb;
    to_tell boolean := false;
BEGIN
    PERFORM set_config('app.tenant_id', p_tenant::text, true);

    -- Always in the order of ids, so that two who lock several never wait for one another.
    SELECT array_agg(w.id), array_agg(mine.last_seq + w.events), array_agg(mine.last_seq) INTO ids, lasts, starts
    FROM (
        SELECT * FROM jsonb_to_recordset(p_writes) AS r(id uuid, epoch bigint, number bigint, events integer)
        ORDER BY r.id
    ) w
    CROSS JOIN LATERAL (
        SELECT e.last_seq FROM executions e
        WHERE e.id = w.id AND e.epoch = w.epoch AND e.status = 'running' AND e.last_write < w.number
        FOR NO KEY UPDATE OFFSET 0
    ) mine;

    IF p_steps IS NOT NULL THEN
        INSERT INTO task_executions AS old (
            id, tenant_id, execution_id, node, type, path, attempt, generation, status, input, output, error,
            started_at, finished_at
        )
        SELECT s.id, p_tenant, s.execution_id, s.node, s.type, s.path, s.attempt, s.generation, s.status,
            s.input, s.output, s.error, s.started_at, s.finished_at
        FROM jsonb_to_recordset(p_steps) AS s(
            execution_id uuid, id uuid, node text, type text, path text, attempt smallint, generation smallint,
            status text, input jsonb, output jsonb, error jsonb, started_at timestamptz, finished_at timestamptz
        )
        WHERE s.execution_id = ANY (ids)
        ON CONFLICT (id) DO UPDATE
        SET attempt = excluded.attempt, generation = excluded.generation, status = excluded.status,
            input = excluded.input, output = excluded.output, error = excluded.error,
            started_at = excluded.started_at, finished_at = excluded.finished_at
        WHERE old.execution_id = excluded.execution_id;
    END IF;

    WITH recorded AS (
        INSERT INTO calls AS kept (
            id, tenant_id, execution_id, step_id, key, kind, effect, name, model_id, agent_id, request_hash,
            request, response, status, error, input_tokens, output_tokens, cost, tries, started_at, finished_at
        )
        SELECT c.id, p_tenant, c.execution_id, c.step_id, c.key, c.kind, c.effect, c.name, c.model_id, c.agent_id,
            c.request_hash, c.request, c.response, c.status, c.error, c.input_tokens, c.output_tokens, c.cost,
            c.tries, c.started_at, c.finished_at
        FROM jsonb_to_recordset(p_calls) AS c(
            execution_id uuid, id uuid, step_id uuid, key text, kind text, effect text, name text, model_id uuid,
            agent_id uuid, request_hash text, request jsonb, response jsonb, status text, error jsonb,
            input_tokens integer, output_tokens integer, cost numeric, tries smallint, started_at timestamptz,
            finished_at timestamptz
        )
        WHERE c.execution_id = ANY (ids)
        ON CONFLICT (id) DO UPDATE
        SET request_hash = excluded.request_hash, request = excluded.request, response = excluded.response,
            status = excluded.status, error = excluded.error, input_tokens = excluded.input_tokens,
            output_tokens = excluded.output_tokens, cost = excluded.cost, tries = excluded.tries,
            started_at = excluded.started_at, finished_at = excluded.finished_at
        WHERE kept.execution_id = excluded.execution_id
        RETURNING new.execution_id, old.id IS NULL AS is_new,
            new.input_tokens - coalesce(old.input_tokens, 0) AS input_tokens,
            new.output_tokens - coalesce(old.output_tokens, 0) AS output_tokens,
            new.cost - coalesce(old.cost, 0) AS cost
    ), spent AS (
        -- What the calls add to the totals; one that was recorded before counts with the difference.
        SELECT c.execution_id, sum(c.input_tokens) AS input_tokens, sum(c.output_tokens) AS output_tokens,
            sum(c.cost) AS cost, count(*) FILTER (WHERE c.is_new) AS calls
        FROM recorded c GROUP BY c.execution_id
    ), written AS (
        UPDATE executions e
        SET last_seq = e.last_seq + w.events,
            last_write = w.number,
            input_tokens = e.input_tokens + coalesce(s.input_tokens, 0),
            output_tokens = e.output_tokens + coalesce(s.output_tokens, 0),
            cost = e.cost + coalesce(s.cost, 0),
            call_count = e.call_count + coalesce(s.calls, 0),
            status = CASE
                WHEN w.status IS NULL THEN e.status
                WHEN w.status NOT IN ('queued', 'waiting', 'paused') THEN w.status
                WHEN e.cancel_requested_at IS NOT NULL THEN 'queued'  -- whoever takes it ends it at once
                WHEN e.pause_requested_at IS NOT NULL THEN 'paused'
                WHEN w.status = 'waiting' AND e.wakes <= w.wakes THEN 'waiting'
                ELSE 'queued'
            END,
            -- All that it had to do until it waits killed no worker: deaths before that say nothing of what follows.
            attempts = CASE WHEN w.status = 'waiting' THEN 0 ELSE e.attempts END,
            output = coalesce(w.output, e.output),
            error = coalesce(w.error, e.error),
            lease_until = CASE WHEN w.status IS NULL THEN e.lease_until END,
            active_ms = CASE
                WHEN w.status IS NULL THEN e.active_ms
                ELSE e.active_ms + ledger_held_ms(e.claimed_at, e.lease_until)
            END,
            finished_at = CASE WHEN w.status IN ('succeeded', 'failed', 'cancelled') THEN now() END
        FROM jsonb_to_recordset(p_writes) AS w(
            id uuid, number bigint, events integer, status text, output jsonb, error jsonb, wakes bigint
        )
        LEFT JOIN spent s ON s.execution_id = w.id
        WHERE e.id = w.id AND e.id = ANY (ids)
        RETURNING e.id, e.finished_at IS NOT NULL AS has_ended, w.status <> e.status AS is_contradicted
    )
    SELECT array_agg(w.id) FILTER (WHERE w.has_ended), array_agg(w.id) FILTER (WHERE w.is_contradicted)
    INTO ended, contradicted
    FROM written w;

    IF p_events IS NOT NULL THEN
        INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, node, path, attempt, data)
        SELECT v.execution_id, mine.start + v.place, p_tenant, v.type, v.at, v.node, v.path, v.attempt, v.data
        FROM jsonb_to_recordset(p_events) AS v(
            execution_id uuid, place integer, type text, at timestamptz, node text, path text, attempt smallint,
            data jsonb
        )
        JOIN unnest(ids, starts) AS mine(id, start) ON mine.id = v.execution_id;
    END IF;

    IF p_waits IS NOT NULL THEN
        PERFORM ledger_write_waits(p_tenant, ids, p_waits);
    END IF;
    IF ended IS NOT NULL THEN
        to_tell := ledger_end_waits(ended);
    END IF;
    IF contradicted IS NOT NULL THEN
        lines := ledger_contradict(contradicted);
    END IF;

    RETURN QUERY
    SELECT mine.id, mine.last, lines -> mine.id::text, to_tell FROM unnest(ids, lasts) AS mine(id, last);
    IF coalesce(cardinality(ids), 0) < jsonb_array_length(p_writes) THEN
        RETURN QUERY
        SELECT e.id, NULL::bigint, NULL::jsonb, false
        FROM jsonb_to_recordset(p_writes) AS w(id uuid, epoch bigint, number bigint)
        JOIN executions e ON e.id = w.id AND e.epoch = w.epoch AND e.last_write >= w.number
        WHERE e.id <> ALL (coalesce(ids, '{}'));
    END IF;
END
$$
