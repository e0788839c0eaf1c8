-- Locks the token: of two that present it at once the second waits, and then finds it used.
CREATE FUNCTION auth_find_refresh_token(p_hash bytea)
RETURNS TABLE (
    id uuid, session_id uuid, tenant_id uuid, user_id uuid,
    used_at timestamptz, expires_at timestamptz, revoked_at timestamptz
)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT t.id, t.session_id, t.tenant_id, s.user_id, t.used_at, s.expires_at, s.revoked_at
    FROM refresh_tokens t JOIN login_sessions s ON s.id = t.session_id
    WHERE t.token_hash = p_hash
    FOR UPDATE OF t
$$
