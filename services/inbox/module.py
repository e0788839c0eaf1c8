from services.inbox.routes import router
from shared.web.app import Service

SERVICE = Service(name="inbox", routers=(router,))
