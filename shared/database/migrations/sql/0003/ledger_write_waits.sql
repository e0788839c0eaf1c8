-- What the executions p_ids, of which the caller holds the locks, begin to wait for: part of ledger_write. A wait that
-- is on record stays as it is, save that it can be closed by the step that made it. A wait for a child execution
-- starts the child too: beside its parent in lane, urgency, owner and budget, paused if its parent is to pause, and not
-- at all if its parent is to stop, so that no child slips through while a tree of executions is cancelled.
CREATE FUNCTION ledger_write_waits(p_tenant uuid, p_ids uuid[], p_waits jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO waits AS old (
        id, tenant_id, execution_id, step_id, key, kind, title, request, request_hash, status, due_at,
        assignee_user_id, assignee_role, escalate_at, escalate_user_id, escalate_role, created_at
    )
    SELECT w.id, p_tenant, w.execution_id, w.step_id, w.key, w.kind, w.title, w.request, w.request_hash, w.status,
        w.due_at, w.assignee_user_id, w.assignee_role, w.escalate_at, w.escalate_user_id, w.escalate_role,
        w.created_at
    FROM jsonb_to_recordset(p_waits) AS w(
        execution_id uuid, id uuid, step_id uuid, key text, kind text, title text, request jsonb, request_hash text,
        status text, due_at timestamptz, assignee_user_id uuid, assignee_role text, escalate_at timestamptz,
        escalate_user_id uuid, escalate_role text, created_at timestamptz
    )
    WHERE w.execution_id = ANY (p_ids)
    ORDER BY w.id
    ON CONFLICT (id) DO UPDATE
    SET status = 'closed', settled_at = now()
    WHERE old.status = 'open' AND excluded.status = 'closed' AND old.execution_id = excluded.execution_id;

    WITH children AS (
        INSERT INTO executions (
            id, tenant_id, kind, lane, name, spec, inputs, status, priority, pause_requested_at, parent_id, root_id,
            depth, concurrency_key, budget, workflow_id, workflow_version, correlation_id, last_seq, engine_version,
            created_by
        )
        SELECT c.id, p_tenant, 'workflow', p.lane, c.child ->> 'name', c.child -> 'spec', c.child -> 'inputs',
            CASE WHEN p.pause_requested_at IS NULL THEN 'queued' ELSE 'paused' END, p.priority, p.pause_requested_at,
            p.id, coalesce(p.root_id, p.id), p.depth + 1,
            (
                SELECT f.id FROM workflows f
                WHERE f.id = (c.child ->> 'workflow_id')::uuid AND f.max_running IS NOT NULL
            ),
            p.budget, (c.child ->> 'workflow_id')::uuid, (c.child ->> 'workflow_version')::integer, p.correlation_id,
            1, p.engine_version, p.created_by
        FROM jsonb_to_recordset(p_waits) AS c(execution_id uuid, id uuid, status text, child jsonb)
        JOIN executions p ON p.id = c.execution_id
        WHERE c.execution_id = ANY (p_ids) AND c.status = 'open' AND jsonb_typeof(c.child) = 'object'
            AND p.cancel_requested_at IS NULL AND p.finished_at IS NULL
        ON CONFLICT (id) DO NOTHING
        RETURNING id, status
    )
    INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
    SELECT c.id, 1, p_tenant, 'execution.status', now(), jsonb_build_object('status', c.status) FROM children c;
END
$$
