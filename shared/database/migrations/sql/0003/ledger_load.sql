-- What a worker needs of the executions it has just claimed, all tenants' in one go.
CREATE FUNCTION ledger_load(p_ids uuid[], p_epochs bigint[])
RETURNS TABLE (
    id uuid, kind text, attempts smallint, spec jsonb, inputs jsonb, created_at timestamptz,
    cancel_requested boolean, pause_requested boolean, wakes bigint, root_id uuid, depth smallint, origin text,
    budget jsonb, active_ms bigint, engine_version smallint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
    SELECT e.id, e.kind, e.attempts, e.spec, e.inputs, e.created_at,
        e.cancel_requested_at IS NOT NULL, e.pause_requested_at IS NOT NULL, e.wakes, e.root_id, e.depth, e.origin,
        e.budget, e.active_ms, e.engine_version
    FROM unnest(p_ids, p_epochs) AS mine(id, epoch)
    JOIN executions e ON e.id = mine.id AND e.epoch = mine.epoch AND e.status = 'running'
$$
