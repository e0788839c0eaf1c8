-- Sign-in happens before it is known whose rows may be seen.
CREATE FUNCTION auth_find_user(p_email text)
RETURNS TABLE (id uuid, password_hash text, disabled_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT u.id, u.password_hash, u.disabled_at FROM users u WHERE u.email = p_email
$$
