-- Locks an execution and all below it, in the order of ids, and answers with their ids. None can be added while the
-- lock is held: whoever starts a child holds the lock of its parent. Those that were added while we waited for the
-- locks are found by looking again; then all are let go of and locked anew, to keep the order.
CREATE FUNCTION ledger_lock_tree(p_id uuid)
RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    ids uuid[];
BEGIN
    LOOP
        BEGIN
            ids := ledger_tree(p_id);
            PERFORM FROM executions e WHERE e.id = ANY (ids) ORDER BY e.id FOR NO KEY UPDATE;
            IF ledger_tree(p_id) <@ ids THEN
                RETURN ids;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'QD001';  -- undone with this block: the locks
        EXCEPTION WHEN SQLSTATE 'QD001' THEN
            NULL;
        END;
    END LOOP;
END
$$
