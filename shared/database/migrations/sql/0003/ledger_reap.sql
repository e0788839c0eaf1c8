-- Takes executions from workers that stopped renewing their lease. Each goes back to the queue; one that was asked
-- to stop is cancelled, one that was asked to pause is paused, and one that lost its worker p_max_attempts times is
-- failed as poison. Answers with the events it wrote. Safe to run in several places at once.
CREATE FUNCTION ledger_reap(p_max_attempts integer)
RETURNS SETOF execution_events
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    lost executions;
    next_status text;
BEGIN
    FOR lost IN
        SELECT * FROM executions e
        WHERE e.status = 'running' AND e.lease_until < now()
        LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        UPDATE executions e
        SET attempts = e.attempts + 1, active_ms = e.active_ms + ledger_held_ms(e.claimed_at, e.lease_until)
        WHERE e.id = lost.id;
        IF lost.cancel_requested_at IS NOT NULL THEN
            RETURN QUERY SELECT * FROM ledger_settle(lost.id, 'cancelled', NULL);
        ELSIF lost.attempts + 1 >= p_max_attempts THEN
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
