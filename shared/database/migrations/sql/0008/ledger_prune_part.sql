-- Takes `p_what` away from these executions, which have ended, and says so on each: `deltas` are streamed text and
-- debug lines; `events` all of the stream but its last line; `calls` what was asked and answered, the numbers stay;
-- `outputs` what steps were given and gave, and the stream with it, because it repeats them.
CREATE FUNCTION ledger_prune_part(p_what text, p_ids uuid[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    gone text[] := ARRAY[p_what];
BEGIN
    IF p_what = 'deltas' THEN
        DELETE FROM execution_events v
        WHERE v.execution_id = ANY (p_ids) AND (
            v.type IN ('message.delta', 'reasoning.delta') OR (v.type = 'log' AND v.data ->> 'level' = 'debug')
        );
    ELSIF p_what = 'calls' THEN
        UPDATE calls c SET request = NULL, response = NULL
        WHERE c.execution_id = ANY (p_ids) AND (c.request IS NOT NULL OR c.response IS NOT NULL);
    ELSIF p_what = 'outputs' THEN
        UPDATE task_executions s SET input = NULL, output = NULL
        WHERE s.execution_id = ANY (p_ids) AND (s.input IS NOT NULL OR s.output IS NOT NULL);
        gone := gone || ARRAY['events'];
    END IF;
    IF 'events' = ANY (gone) THEN
        DELETE FROM execution_events v WHERE v.execution_id = ANY (p_ids) AND v.type <> 'done';
        gone := gone || ARRAY['deltas'];
    END IF;
    UPDATE executions e
    SET pruned = (SELECT array_agg(DISTINCT g ORDER BY g) FROM unnest(coalesce(e.pruned, '{}') || gone) AS g)
    WHERE e.id = ANY (p_ids);
END
$$
