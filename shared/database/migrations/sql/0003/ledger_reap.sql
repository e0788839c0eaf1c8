-- Takes executions from workers that stopped renewing their lease. Each goes back to the queue; one that was asked
-- to stop is cancelled, one that was asked to pause is paused, and one that lost its worker p_max_attempts times is
-- failed as poison. Answers with the events it wrote. Safe to run in several places at once.
--
-- Of several suspects that a worker held (see ledger_claim), only the one that it took last is blamed: the others had
-- run for a while by then, and it is what is new that kills. They would else be set aside together with the culprit.
CREATE FUNCTION ledger_reap(p_max_attempts integer)
RETURNS SETOF execution_events
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    found record;
    lost executions;
    next_status text;
BEGIN
    FOR found IN
        SELECT e AS execution, NOT (e.attempts >= 2 AND EXISTS (
            SELECT FROM executions later
            WHERE later.status = 'running' AND later.worker = e.worker AND later.attempts >= 2
                AND later.claimed_at > e.claimed_at
        )) AS blamed
        FROM executions e
        WHERE e.status = 'running' AND e.lease_until < now()
        LIMIT 500 FOR NO KEY UPDATE OF e SKIP LOCKED
    LOOP
        lost := found.execution;
        UPDATE executions e
        SET attempts = e.attempts + found.blamed::integer, active_ms = e.active_ms + ledger_held_ms(e.claimed_at, e.lease_until)
        WHERE e.id = lost.id;
        IF lost.cancel_requested_at IS NOT NULL THEN
            RETURN QUERY SELECT * FROM ledger_settle(lost.id, 'cancelled', NULL);
        ELSIF found.blamed AND lost.attempts + 1 >= p_max_attempts THEN
            RETURN QUERY SELECT * FROM ledger_settle(lost.id, 'failed', jsonb_build_object(
                'code', 'poison',
                'message', format(
                    'The execution was set aside: %s workers died while they ran it, the last was %s.',
                    lost.attempts + 1, lost.worker
                ),
                'retryable', false,
                'running_steps', (
                    SELECT coalesce(jsonb_agg(s.node ORDER BY s.id), '[]') FROM task_executions s
                    WHERE s.execution_id = lost.id AND s.status = 'running'
                )
            ));
        ELSE
            next_status := CASE WHEN lost.pause_requested_at IS NULL THEN 'queued' ELSE 'paused' END;
            UPDATE executions e
            SET status = next_status, epoch = e.epoch + 1, lease_until = NULL, last_seq = e.last_seq + 1
            WHERE e.id = lost.id;
            RETURN QUERY
            INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
            VALUES (
                lost.id, lost.last_seq + 1, lost.tenant_id, 'execution.status', now(),
                jsonb_build_object('status', next_status, 'reason', 'worker_lost')
            )
            RETURNING *;
        END IF;
    END LOOP;
END
$$
