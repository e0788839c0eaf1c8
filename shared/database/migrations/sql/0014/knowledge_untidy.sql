-- The tenants with documents whose ingestion has ended without them, or with an index whose building was given up.
CREATE FUNCTION knowledge_untidy()
RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT d.tenant_id
    FROM documents d LEFT JOIN executions e ON e.id = d.execution_id
    WHERE d.status IN ('pending', 'processing')
        AND (e.id IS NULL OR e.status IN ('succeeded', 'failed', 'cancelled'))
    UNION
    SELECT i.tenant_id
    FROM knowledge_indexes i LEFT JOIN executions e ON e.id = i.execution_id
    WHERE i.status = 'building' AND (e.id IS NULL OR e.status = 'cancelled')
$$
