from shared.web.errors import Invalid


class UrlsRefused(Invalid):
    code = "urls_refused"
    message = "No address was accepted."
