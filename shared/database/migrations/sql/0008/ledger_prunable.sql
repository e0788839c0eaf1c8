-- The tenant's executions that ended between two moments and have not lost `p_what` yet, the oldest first: at most
-- p_most of them, and no more than together have about p_most_events events, so that what follows takes a second at
-- most. Locks them; they have ended, so nobody waits for that.
CREATE FUNCTION ledger_prunable(
    p_tenant uuid, p_what text, p_from timestamptz, p_to timestamptz, p_most integer, p_most_events bigint
)
RETURNS TABLE (id uuid, finished_at timestamptz)
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
    WITH candidates AS (
        SELECT e.id, e.finished_at, e.last_seq FROM executions e
        WHERE e.tenant_id = p_tenant AND e.finished_at IS NOT NULL
            AND e.finished_at >= coalesce(p_from, '-infinity') AND e.finished_at < p_to
            AND (e.pruned IS NULL OR NOT p_what = ANY (e.pruned))
        ORDER BY e.finished_at, e.id
        LIMIT p_most
    ), weighed AS (
        SELECT c.id, c.finished_at, sum(c.last_seq) OVER (ORDER BY c.finished_at, c.id) - c.last_seq AS before
        FROM candidates c
    ), locked AS (
        SELECT e.id FROM executions e JOIN weighed w ON w.id = e.id
        WHERE w.before < p_most_events
        ORDER BY e.id FOR NO KEY UPDATE OF e
    )
    SELECT w.id, w.finished_at FROM weighed w JOIN locked l ON l.id = w.id ORDER BY w.finished_at, w.id
$$
