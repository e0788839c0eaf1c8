from services.tools.connections.routes import router as connections
from services.tools.tools.routes import router as tools
from shared.web.app import Service

SERVICE = Service(name="tools", routers=(tools, connections))
