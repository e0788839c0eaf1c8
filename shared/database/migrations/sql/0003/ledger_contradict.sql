-- Adds to the streams of these executions, of which the caller holds the locks, what their status has become: part of
-- ledger_write. Answers with an object of the lines, in the shape of the stream, by execution.
CREATE FUNCTION ledger_contradict(p_ids uuid[])
RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY INVOKER
SET enable_seqscan = off
AS $$
    WITH changed AS (
        UPDATE executions e SET last_seq = e.last_seq + 1 WHERE e.id = ANY (p_ids)
        RETURNING e.id, e.tenant_id, e.last_seq, e.status
    ), written AS (
        INSERT INTO execution_events (execution_id, seq, tenant_id, type, at, data)
        SELECT c.id, c.last_seq, c.tenant_id, 'execution.status', now(), jsonb_build_object('status', c.status)
        FROM changed c
        RETURNING execution_id, seq, type, at, data
    )
    SELECT jsonb_object_agg(w.execution_id, jsonb_build_object(
        'seq', w.seq, 'type', w.type, 'at', w.at, 'step', NULL, 'data', w.data
    ))
    FROM written w
$$
