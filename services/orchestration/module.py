from services.orchestration.controls.routes import router as controls
from services.orchestration.executions.routes import router as executions
from shared.web.app import Service

SERVICE = Service(name="orchestration", routers=(executions, controls))
