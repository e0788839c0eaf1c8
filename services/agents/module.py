from services.agents.routes import router
from shared.web.app import Service

SERVICE = Service(name="agents", routers=(router,))
