-- What is to be told when an execution ends commits with the end itself, whoever writes it. A tenant without endpoints
-- costs one look into an index. Runs with the rights of who ends the execution.
CREATE FUNCTION webhook_enqueue()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
AS $$
DECLARE
    happened text := 'execution.' || NEW.status;
    fits boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_endpoints w WHERE w.tenant_id = NEW.tenant_id AND w.enabled) THEN
        RETURN NULL;
    END IF;
    -- Whoever wants more than this fetches the execution.
    fits := coalesce(octet_length(NEW.output::text), 0) <= 16384;
    INSERT INTO webhook_deliveries (id, tenant_id, endpoint_id, event, execution_id, payload)
    SELECT gen_random_uuid(), NEW.tenant_id, w.id, happened, NEW.id, jsonb_build_object(
        'type', happened,
        'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'data', jsonb_build_object(
            'id', NEW.id,
            'name', NEW.name,
            'kind', NEW.kind,
            'workflow_id', NEW.workflow_id,
            'workflow_version', NEW.workflow_version,
            'trigger_id', NEW.trigger_id,
            'status', NEW.status,
            'output', CASE WHEN fits THEN NEW.output END,
            'output_truncated', NOT fits,
            'error', CASE WHEN NEW.error IS NOT NULL THEN jsonb_build_object(
                'code', NEW.error -> 'code', 'message', left(NEW.error ->> 'message', 2000)
            ) END,
            'totals', jsonb_build_object(
                'input_tokens', NEW.input_tokens,
                'output_tokens', NEW.output_tokens,
                'cost', trim_scale(NEW.cost)::text,
                'calls', NEW.call_count
            )
        )
    )
    FROM (
        -- One that is just being deleted is waited for, and gone then: to refer to it would keep the execution from
        -- ending.
        SELECT p.id FROM webhook_endpoints p
        WHERE p.tenant_id = NEW.tenant_id AND p.enabled AND happened = ANY (p.events)
            AND (p.workflow_ids IS NULL OR NEW.workflow_id = ANY (p.workflow_ids))
        ORDER BY p.id FOR KEY SHARE
    ) w;
    RETURN NULL;
END
$$
