from services.workflows.node_types.routes import router as node_types
from services.workflows.routes import router as workflows
from services.workflows.transfer.routes import router as transfer
from services.workflows.triggers.routes import router as triggers
from services.workflows.webhooks.routes import router as webhooks
from shared.web.app import Service

SERVICE = Service(
    name="workflows",
    routers=(workflows, node_types, transfer, triggers, webhooks),
    public=(r"/api/v1/hooks/[^/]+",),
)
