-- Steps, calls and events go with their executions, whoever deletes those: the trigger of `executions` in place of
-- foreign keys. Whoever writes parts of an execution holds its row, so none can come after this.
CREATE FUNCTION ledger_delete_parts()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    ids uuid[] := ARRAY(SELECT g.id FROM gone g);
BEGIN
    IF cardinality(ids) > 0 THEN
        DELETE FROM execution_events v WHERE v.execution_id = ANY (ids);
        DELETE FROM calls c WHERE c.execution_id = ANY (ids);
        DELETE FROM task_executions s WHERE s.execution_id = ANY (ids);
    END IF;
    RETURN NULL;
END
$$
