-- The webhook whose URL carries the token of this hash, with what a delivery to it is proved by. Who calls has not
-- proved anything yet, so he belongs to no tenant.
CREATE FUNCTION trigger_find_webhook(p_token_hash bytea)
RETURNS TABLE (
    id uuid, tenant_id uuid, acts_for uuid, verification text, secret bytea, old_secret bytea,
    old_secret_until timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT t.id, t.tenant_id, t.acts_for, t.config ->> 'verification', t.secret, t.old_secret, t.old_secret_until
    FROM triggers t
    WHERE t.token_hash = p_token_hash
$$
