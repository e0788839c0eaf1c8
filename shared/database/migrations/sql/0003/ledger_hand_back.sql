-- Puts back what a worker has claimed without learning of it, because the answer was lost: what runs in its name, is not
-- among what it holds, and was not written to. Nobody died, so nobody is blamed. Locks in the order of ids.
CREATE FUNCTION ledger_hand_back(p_worker text, p_held uuid[])
RETURNS SETOF uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
    WITH unheard AS MATERIALIZED (
        SELECT e.id FROM executions e
        WHERE e.status = 'running' AND e.worker = p_worker AND e.last_write = 0 AND e.id <> ALL (p_held)
        ORDER BY e.id
        FOR NO KEY UPDATE
    )
    UPDATE executions e
    SET status = CASE WHEN e.pause_requested_at IS NULL THEN 'queued' ELSE 'paused' END,
        epoch = e.epoch + 1,
        lease_until = NULL
    FROM unheard u
    WHERE e.id = u.id
    RETURNING e.id
$$
