from services.knowledge_base.bases.routes import router as bases
from services.knowledge_base.consistency.routes import router as consistency
from services.knowledge_base.documents.reading_routes import router as contents
from services.knowledge_base.documents.routes import router as documents
from services.knowledge_base.documents.upload_routes import router as uploads
from services.knowledge_base.evaluation.questions.routes import router as evaluation_questions
from services.knowledge_base.evaluation.runs.routes import router as evaluation_runs
from services.knowledge_base.evaluation.sets.routes import router as evaluation_sets
from services.knowledge_base.limits.routes import router as limits
from services.knowledge_base.preview.routes import router as preview
from services.knowledge_base.search.routes import router as search
from services.knowledge_base.sweeps import sweeping
from services.knowledge_base.web.routes import router as web
from shared.web.app import Service

SERVICE = Service(
    name="knowledge_base",
    routers=(
        search,
        bases,
        consistency,
        documents,
        uploads,
        web,
        contents,
        limits,
        preview,
        evaluation_sets,
        evaluation_questions,
        evaluation_runs,
    ),
    startup=(sweeping,),
)
