from services.orchestration.controls.routes import router as controls
from services.orchestration.executions.routes import router as executions
from services.orchestration.forks.routes import router as forks
from services.orchestration.policy.routes import router as policy
from services.orchestration.replays.routes import router as replays
from shared.web.app import Service

SERVICE = Service(name="orchestration", routers=(executions, controls, forks, replays, policy))
