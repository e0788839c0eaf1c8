-- The first day, in UTC, of the period that is now.
CREATE FUNCTION budget_period_start(p_period text)
RETURNS date
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = public, pg_temp
AS $$
    SELECT CASE p_period
        WHEN 'day' THEN (now() AT TIME ZONE 'UTC')::date
        WHEN 'month' THEN date_trunc('month', now() AT TIME ZONE 'UTC')::date
        ELSE date '1970-01-01'
    END
$$
