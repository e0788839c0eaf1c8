-- Renews the leases of one worker's executions and tells which were asked to stop. An execution that is not in
-- the answer is no longer this worker's.
CREATE FUNCTION ledger_heartbeat(p_ids uuid[], p_epochs bigint[], p_lease double precision)
RETURNS TABLE (id uuid, cancel_requested boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    UPDATE executions e
    SET lease_until = now() + make_interval(secs => p_lease)
    FROM unnest(p_ids, p_epochs) AS held(id, epoch)
    WHERE e.id = held.id AND e.epoch = held.epoch AND e.status = 'running'
    RETURNING e.id, e.cancel_requested_at IS NOT NULL
$$
