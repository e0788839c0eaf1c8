-- Knowledge bases whose documents are not those that were summarised, and have been quiet for so many seconds.
CREATE FUNCTION knowledge_stale_summaries(p_quiet double precision, p_limit integer)
RETURNS TABLE (tenant_id uuid, knowledge_base_id uuid, summary_at timestamptz, documents integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT k.tenant_id, k.id, k.summary_at, now_there.documents::integer
    FROM knowledge_bases k
    CROSS JOIN LATERAL (
        SELECT count(*) AS documents, max(d.updated_at) AS newest FROM documents d WHERE d.knowledge_base_id = k.id
    ) now_there
    WHERE (now_there.newest > k.summary_at OR now_there.documents <> coalesce(k.summary_of, 0) OR k.summary_at IS NULL)
        AND (now_there.documents > 0 OR k.summary_of > 0)
        AND (now_there.newest IS NULL OR now_there.newest < now() - make_interval(secs => p_quiet))
    LIMIT p_limit
$$
