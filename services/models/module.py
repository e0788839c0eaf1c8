from services.models.routes import router
from shared.web.app import Service

SERVICE = Service(name="models", routers=(router,))
