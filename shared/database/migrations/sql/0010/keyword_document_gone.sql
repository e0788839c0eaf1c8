-- What a document had in a segment is void from now on. A segment that nobody is in any more goes at once. Runs as the
-- system, because the deletion may be one that Postgres itself makes, by a foreign key.
CREATE FUNCTION keyword_document_gone()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM keyword_documents d WHERE d.segment_id = OLD.segment_id) THEN
        DELETE FROM keyword_segments s WHERE s.id = OLD.segment_id;
    ELSE
        INSERT INTO keyword_deletions (tenant_id, segment_id, document_id)
        SELECT s.tenant_id, s.id, OLD.document_id FROM keyword_segments s WHERE s.id = OLD.segment_id
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
