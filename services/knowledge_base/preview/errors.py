from shared.web.errors import Invalid


class OverlapTooLarge(Invalid):
    code = "chunk_overlap_too_large"
    message = "chunk_overlap must be at most half of chunk_size."


class TextUnreadable(Invalid):
    code = "text_unreadable"
    message = "The text could not be read."
