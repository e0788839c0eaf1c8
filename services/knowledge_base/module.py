from services.knowledge_base.bases.routes import router as bases
from services.knowledge_base.documents.routes import router as documents
from services.knowledge_base.purges import sweeping
from services.knowledge_base.search.routes import router as search
from shared.web.app import Service

SERVICE = Service(name="knowledge_base", routers=(search, bases, documents), startup=(sweeping,))
