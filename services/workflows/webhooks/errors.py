from shared.web.errors import Conflict, Invalid, NotFound


class EndpointNotFound(NotFound):
    code = "webhook_endpoint_not_found"
    message = "There is no such webhook endpoint."


class DeliveryNotFound(NotFound):
    code = "webhook_delivery_not_found"
    message = "There is no such delivery."


class UrlNotAllowed(Invalid):
    code = "url_not_allowed"
    message = "Messages cannot be sent to this URL."


class TooManyEndpoints(Conflict):
    code = "too_many_webhook_endpoints"
    message = "There are as many webhook endpoints as there may be."


class DeliveryPending(Conflict):
    code = "webhook_delivery_pending"
    message = "The delivery is still being attempted."


class WorkflowUnknown(Invalid):
    code = "workflow_unknown"
    message = "There is no such workflow."
