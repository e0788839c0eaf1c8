from services.workflows.routes import router as workflows
from services.workflows.transfer.routes import router as transfer
from shared.web.app import Service

SERVICE = Service(name="workflows", routers=(workflows, transfer))
