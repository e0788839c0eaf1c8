from services.execution_monitoring.routes import router as history
from services.execution_monitoring.streaming.routes import router as streaming
from shared.web.app import Service

SERVICE = Service(name="execution_monitoring", routers=(history, streaming))
