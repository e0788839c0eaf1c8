-- Carries out one tenant's policy as far as one short transaction goes, and answers with what was done to how many
-- executions, in the end with a null; with no row at all when no tenant is due. Tenants take turns, each every p_interval seconds, at once
-- again while there is more. Whoever locks a tenant's row prunes for it and the others take another tenant: any
-- number of workers may call this. What is interrupted is undone, and done by the next call.
CREATE FUNCTION ledger_prune(p_defaults jsonb, p_interval double precision, p_most integer, p_most_events bigint)
RETURNS TABLE (tenant_id uuid, what text, executions bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET lock_timeout = '2s'
AS $$
#variable_conflict use_column
DECLARE
    turn pruning;
    days jsonb;
    part text;
    reached timestamptz;
    until timestamptz;
    ids uuid[];
    more boolean := false;
BEGIN
    SELECT * INTO turn FROM pruning p WHERE p.due_at <= now() ORDER BY p.due_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- There may be tenants that have not had a turn yet.
        INSERT INTO pruning (tenant_id, due_at)
        SELECT t.id, now() FROM tenants t WHERE NOT EXISTS (SELECT FROM pruning p WHERE p.tenant_id = t.id)
        ON CONFLICT DO NOTHING;
        SELECT * INTO turn FROM pruning p WHERE p.due_at <= now() ORDER BY p.due_at LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    days := coalesce((SELECT to_jsonb(p) FROM execution_policies p WHERE p.tenant_id = turn.tenant_id), p_defaults);

    -- Whole executions, those below them with them. Of what is left, part after part.
    ids := ARRAY(
        SELECT e.id FROM executions e
        WHERE e.tenant_id = turn.tenant_id AND e.root_id IS NULL
            AND e.finished_at < now() - make_interval(days => (days ->> 'execution_days')::integer)
            AND NOT EXISTS (SELECT FROM executions c WHERE c.root_id = e.id AND c.finished_at IS NULL)
        ORDER BY e.finished_at LIMIT p_most
    );
    IF cardinality(ids) > 0 THEN
        DELETE FROM executions e WHERE e.id = ANY (ids) OR e.root_id = ANY (ids);
        more := cardinality(ids) = p_most;
        RETURN QUERY SELECT turn.tenant_id, 'executions', cardinality(ids)::bigint;
    END IF;

    FOREACH part IN ARRAY ARRAY['outputs', 'events', 'deltas', 'calls'] LOOP
        CONTINUE WHEN days ->> (rtrim(part, 's') || '_days') IS NULL;
        until := now() - make_interval(days => (days ->> (rtrim(part, 's') || '_days'))::integer);
        SELECT array_agg(p.id), max(p.finished_at) INTO ids, reached
        FROM ledger_prunable(
            turn.tenant_id, part, (to_jsonb(turn) ->> (part || '_to'))::timestamptz, until, p_most, p_most_events
        ) p;
        IF ids IS NULL THEN
            reached := until;
        ELSE
            PERFORM ledger_prune_part(part, ids);
            more := true;
            RETURN QUERY SELECT turn.tenant_id, part, cardinality(ids)::bigint;
        END IF;
        EXECUTE format('UPDATE pruning SET %I = greatest(%1$I, $1) WHERE tenant_id = $2', part || '_to')
        USING reached, turn.tenant_id;
    END LOOP;

    UPDATE pruning p SET due_at = now() + make_interval(secs => CASE WHEN more THEN 0 ELSE p_interval END)
    WHERE p.tenant_id = turn.tenant_id;
    RETURN QUERY SELECT turn.tenant_id, NULL::text, NULL::bigint;
END
$$
