-- An execution and all below it.
CREATE FUNCTION ledger_tree(p_id uuid)
RETURNS uuid[]
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
    WITH RECURSIVE tree AS (
        SELECT e.id FROM executions e WHERE e.id = p_id
        UNION ALL
        SELECT c.id FROM tree t JOIN executions c ON c.parent_id = t.id
    )
    SELECT coalesce(array_agg(t.id), '{}') FROM tree t
$$
