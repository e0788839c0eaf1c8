-- Knowledge bases whose documents have changed since they were summarised, and have been quiet for so long.
CREATE FUNCTION knowledge_stale_summaries(p_quiet double precision, p_limit integer)
RETURNS TABLE (tenant_id uuid, knowledge_base_id uuid, summary_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.tenant_id, k.id, k.summary_at
    FROM knowledge_bases k
    CROSS JOIN LATERAL (
        SELECT d.updated_at FROM documents d WHERE d.knowledge_base_id = k.id ORDER BY d.updated_at DESC LIMIT 1
    ) newest
    WHERE (k.summary_at IS NULL OR newest.updated_at > k.summary_at)
        AND newest.updated_at < now() - make_interval(secs => p_quiet)
    LIMIT p_limit
$$;
