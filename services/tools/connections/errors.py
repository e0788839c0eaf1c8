from shared.web.errors import Conflict, Invalid, NotFound


class ConnectionNotFound(NotFound):
    code = "connection_not_found"
    message = "There is no such connection."


class ConnectionInvalid(Invalid):
    code = "connection_invalid"
    message = "The connection cannot be kept like this; the details name what to correct."


class ConnectionNameTaken(Conflict):
    code = "connection_name_taken"
    message = "Another connection has this name."


class ConnectionInUse(Conflict):
    code = "connection_in_use"
    message = "Tools or workflows use this connection; the details name them. Give them another one first."
