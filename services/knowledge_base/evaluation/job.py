from services.knowledge_base.evaluation.actions import GENERATE
from services.knowledge_base.evaluation.generation import Generation
from services.knowledge_base.evaluation.measuring import Measurement
from shared.executions.jobs import JobContext, job
from shared.kit.json import Json
from shared.workflow.states import ExecutionKind


@job(ExecutionKind.EVALUATION)
async def evaluate(context: JobContext) -> Json:
    if context.spec["action"] == GENERATE:
        return await Generation(context).run()
    return await Measurement(context).run()
