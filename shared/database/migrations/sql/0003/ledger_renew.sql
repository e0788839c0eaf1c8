-- Renews the leases of one worker's executions and tells which were asked to stop or to pause, and how often a wait
-- of each was settled. An execution that is not in the answer is no longer this worker's. Locks in the order of ids,
-- as ledger_write does. Not patient, it waits for no lock: what somebody keeps locked, because he was frozen in the middle
-- of a transaction, is answered as it is, and `renewed` says that it was not, so that it costs no other its lease.
CREATE FUNCTION ledger_renew(p_ids uuid[], p_epochs bigint[], p_lease double precision, p_patient boolean)
RETURNS TABLE (id uuid, cancel_requested boolean, pause_requested boolean, wakes bigint, renewed boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    locked uuid[];
BEGIN
    IF p_patient THEN
        SELECT array_agg(l.id) INTO locked FROM (
            SELECT e.id FROM executions e JOIN unnest(p_ids, p_epochs) AS mine(id, epoch) ON mine.id = e.id
            WHERE e.epoch = mine.epoch AND e.status = 'running'
            ORDER BY e.id FOR NO KEY UPDATE OF e
        ) l;
    ELSE
        SELECT array_agg(l.id) INTO locked FROM (
            SELECT e.id FROM executions e JOIN unnest(p_ids, p_epochs) AS mine(id, epoch) ON mine.id = e.id
            WHERE e.epoch = mine.epoch AND e.status = 'running'
            FOR NO KEY UPDATE OF e SKIP LOCKED
        ) l;
    END IF;
    RETURN QUERY
    UPDATE executions e
    SET lease_until = now() + make_interval(secs => p_lease)
    WHERE e.id = ANY (locked)
    RETURNING e.id, e.cancel_requested_at IS NOT NULL, e.pause_requested_at IS NOT NULL, e.wakes, true;
    IF NOT p_patient THEN
        RETURN QUERY
        SELECT e.id, e.cancel_requested_at IS NOT NULL, e.pause_requested_at IS NOT NULL, e.wakes, false
        FROM unnest(p_ids, p_epochs) AS mine(id, epoch)
        JOIN executions e ON e.id = mine.id AND e.epoch = mine.epoch AND e.status = 'running'
        WHERE e.id <> ALL (coalesce(locked, '{}'));
    END IF;
END
$$
