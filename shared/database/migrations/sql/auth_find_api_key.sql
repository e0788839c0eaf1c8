CREATE FUNCTION auth_find_api_key(p_id uuid)
RETURNS TABLE (
    tenant_id uuid, user_id uuid, secret_hash bytea, scopes text[],
    expires_at timestamptz, revoked_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT k.tenant_id, k.user_id, k.secret_hash, k.scopes, k.expires_at, k.revoked_at
    FROM api_keys k WHERE k.id = p_id
$$
