from services.knowledge_base.bases.routes import router as bases
from services.knowledge_base.documents.reading_routes import router as contents
from services.knowledge_base.documents.routes import router as documents
from services.knowledge_base.documents.upload_routes import router as uploads
from services.knowledge_base.limits.routes import router as limits
from services.knowledge_base.purges import sweeping
from services.knowledge_base.search.routes import router as search
from shared.web.app import Service

SERVICE = Service(name="knowledge_base", routers=(search, bases, documents, uploads, contents, limits), startup=(sweeping,))
