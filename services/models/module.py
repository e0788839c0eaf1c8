from services.models.budgets.routes import router as budgets_router
from services.models.routes import router
from shared.web.app import Service

SERVICE = Service(name="models", routers=(router, budgets_router))
