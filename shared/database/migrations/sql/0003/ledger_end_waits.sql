-- What the end of these executions means for waits: their own open ones are closed, and what other executions wait
-- for them is answered with how they ended. All stay untold: ledger_sweep tells whom it concerns, since that may
-- take locks of further executions. True when there is anything to tell. The caller has locked and ended them.
CREATE FUNCTION ledger_end_waits(p_ended uuid[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
    WITH affected AS MATERIALIZED (
        SELECT w.id FROM waits w
        WHERE w.status = 'open' AND (w.execution_id = ANY (p_ended) OR w.id = ANY (p_ended))
        ORDER BY w.id FOR NO KEY UPDATE
    )
    UPDATE waits w
    SET status = CASE WHEN w.execution_id = ANY (p_ended) THEN 'closed' ELSE 'answered' END,
        answer = CASE WHEN w.execution_id = ANY (p_ended) THEN NULL ELSE (
            SELECT jsonb_build_object('action', NULL, 'value', jsonb_build_object(
                'status', c.status, 'output', c.output, 'error', c.error
            ))
            FROM executions c WHERE c.id = w.id
        ) END,
        settled_at = now()
    FROM affected a
    WHERE w.id = a.id;
    RETURN FOUND;
END
$$
