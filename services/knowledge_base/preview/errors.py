from shared.web.errors import Invalid


class TextUnreadable(Invalid):
    code = "text_unreadable"
    message = "The text could not be read."
