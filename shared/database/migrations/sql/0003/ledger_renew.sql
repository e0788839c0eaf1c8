-- Renews the leases of one worker's executions and tells which were asked to stop or to pause, and how often a wait
-- of each was settled. An execution that is not in the answer is no longer this worker's. Locks in the order of ids,
-- as ledger_write does.
CREATE FUNCTION ledger_renew(p_ids uuid[], p_epochs bigint[], p_lease double precision)
RETURNS TABLE (id uuid, cancel_requested boolean, pause_requested boolean, wakes bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
    WITH held AS MATERIALIZED (
        SELECT e.id FROM executions e JOIN unnest(p_ids, p_epochs) AS mine(id, epoch) ON mine.id = e.id
        WHERE e.epoch = mine.epoch AND e.status = 'running'
        ORDER BY e.id
        FOR NO KEY UPDATE OF e
    )
    UPDATE executions e
    SET lease_until = now() + make_interval(secs => p_lease)
    FROM held
    WHERE e.id = held.id
    RETURNING e.id, e.cancel_requested_at IS NOT NULL, e.pause_requested_at IS NOT NULL, e.wakes
$$
