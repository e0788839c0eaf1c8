from shared.web.errors import Conflict, Invalid, NotFound


class BudgetNotFound(NotFound):
    code = "budget_not_found"
    message = "There is no such budget."


class BudgetNameTaken(Conflict):
    code = "budget_name_taken"
    message = "Another budget has this name."


class BudgetInvalid(Invalid):
    code = "budget_invalid"
    message = "The budget cannot be kept like this; the details name what to correct."
