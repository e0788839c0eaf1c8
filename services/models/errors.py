from shared.web.errors import Conflict, Invalid, NotFound


class ModelNotFound(NotFound):
    code = "model_not_found"
    message = "There is no such model."


class ModelInvalid(Invalid):
    code = "model_invalid"
    message = "The model cannot be kept like this; the details name what to correct."


class ModelNameTaken(Conflict):
    code = "model_name_taken"
    message = "Another model has this name."


class ModelInUse(Conflict):
    code = "model_in_use"
    message = "Agents, workflows, knowledge bases or other models use this model; the details name them."
