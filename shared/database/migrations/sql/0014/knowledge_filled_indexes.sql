-- Every knowledge base that has something to be found, of all tenants, with the index that should have its vectors.
CREATE FUNCTION knowledge_filled_indexes()
RETURNS TABLE (tenant_id uuid, knowledge_base_id uuid, index_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT b.tenant_id, b.id, coalesce(b.index_id, b.id)
    FROM knowledge_bases b
    WHERE EXISTS (
        SELECT FROM documents d
        WHERE d.knowledge_base_id = b.id AND d.revision IS NOT NULL AND d.chunk_count > 0
    )
    ORDER BY b.id
$$
