-- What is due for the waits of one execution, which the caller has locked, and of those that were settled at most
-- p_limit: part of ledger_sweep.
CREATE FUNCTION ledger_sweep_execution(p_held executions, p_limit integer)
RETURNS TABLE (what text, tenant_id uuid, id uuid, line jsonb)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    has_ended boolean := p_held.finished_at IS NOT NULL;
    wakes boolean := false;
    settled waits;
    child executions;
BEGIN
    UPDATE waits w
    SET status = CASE WHEN has_ended THEN 'closed' ELSE 'expired' END, settled_at = now()
    WHERE w.execution_id = p_held.id AND w.status = 'open' AND w.due_at <= now();

    FOR settled IN
        SELECT * FROM waits w
        WHERE w.execution_id = p_held.id AND w.status <> 'open' AND NOT w.told
        ORDER BY w.id LIMIT p_limit
    LOOP
        IF settled.kind = 'child' AND settled.status = 'closed' THEN
            -- It has the wait's id.
            SELECT e.* INTO child FROM executions e WHERE e.id = settled.id FOR NO KEY UPDATE SKIP LOCKED;
            IF FOUND THEN
                RETURN QUERY
                SELECT 'event', v.tenant_id, v.execution_id, to_jsonb(v) FROM ledger_ask_to_stop(child) v;
                IF child.status = 'running' THEN
                    RETURN QUERY SELECT 'look', child.tenant_id, child.id, NULL::jsonb;
                END IF;
            ELSIF EXISTS (SELECT FROM executions e WHERE e.id = settled.id) THEN
                CONTINUE;
            END IF;
        ELSIF settled.kind NOT IN ('timer', 'child') THEN
            RETURN QUERY SELECT 'settled', settled.tenant_id, settled.id, NULL::jsonb;
        END IF;
        wakes := wakes OR settled.status <> 'closed';
        UPDATE waits w SET told = true WHERE w.id = settled.id;
    END LOOP;

    IF wakes AND NOT has_ended THEN
        RETURN QUERY SELECT 'event', v.tenant_id, v.execution_id, to_jsonb(v) FROM ledger_wake(p_held.id) v;
        IF p_held.status = 'running' THEN
            RETURN QUERY SELECT 'look', p_held.tenant_id, p_held.id, NULL::jsonb;
        END IF;
    END IF;
END
$$
