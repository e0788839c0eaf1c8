-- Takes executions from workers that stopped renewing their lease. Each goes back to the queue, or, after
-- p_max_attempts such deaths, is failed as poison. Safe to run in several places at once.
CREATE FUNCTION ledger_reap(p_max_attempts integer)
RETURNS TABLE (id uuid, tenant_id uuid, status text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    lost record;
    poison boolean;
    problem jsonb;
BEGIN
    FOR lost IN
        SELECT e.id, e.tenant_id, e.attempts, e.worker, e.last_seq FROM executions e
        WHERE e.status = 'running' AND e.lease_until < now()
        LIMIT 500 FOR UPDATE SKIP LOCKED
    LOOP
        poison := lost.attempts + 1 >= p_max_attempts;
        problem := CASE WHEN poison THEN jsonb_build_object(
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
        ) END;
        UPDATE executions e
        SET status = CASE WHEN poison THEN 'failed' ELSE 'queued' END,
            epoch = e.epoch + 1,
            attempts = e.attempts + 1,
            lease_until = NULL,
            error = problem,
            finished_at = CASE WHEN poison THEN now() END,
            last_seq = e.last_seq + 1
        WHERE e.id = lost.id;
        INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
        VALUES (
            lost.id, lost.last_seq + 1, lost.tenant_id,
            CASE WHEN poison THEN 'done' ELSE 'execution.status' END, now(),
            CASE WHEN poison
                THEN jsonb_build_object('status', 'failed', 'output', NULL, 'error', problem)
                ELSE jsonb_build_object('status', 'queued', 'reason', 'worker_lost')
            END
        );
        IF poison THEN
            UPDATE task_executions s
            SET status = 'failed', error = problem, finished_at = now()
            WHERE s.execution_id = lost.id AND s.status = 'running';
        END IF;
        id := lost.id;
        tenant_id := lost.tenant_id;
        status := CASE WHEN poison THEN 'failed' ELSE 'queued' END;
        RETURN NEXT;
    END LOOP;
END
$$
