from services.orchestration.executions.routes import router
from shared.web.app import Service

SERVICE = Service(name="orchestration", routers=(router,))
