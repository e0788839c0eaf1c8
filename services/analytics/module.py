from services.analytics.routes import router
from shared.web.app import Service

SERVICE = Service(name="analytics", routers=(router,))
