from shared.web.errors import Conflict, Invalid, NotFound


class SetNotFound(NotFound):
    code = "evaluation_set_not_found"
    message = "There is no such set of questions."


class SetNameTaken(Conflict):
    code = "evaluation_set_name_taken"
    message = "Another set of questions has this name."


class QuestionNotFound(NotFound):
    code = "evaluation_question_not_found"
    message = "There is no such question in this set."


class QuestionTaken(Conflict):
    code = "evaluation_question_taken"
    message = "The set has this question already."


class SetFull(Conflict):
    code = "evaluation_set_full"
    message = "A set holds so many questions and no more."


class DocumentUnknown(Invalid):
    code = "evaluation_document_unknown"
    message = "An expected document is not in the knowledge bases of this set."


class ImportRefused(Invalid):
    code = "evaluation_import_refused"
    message = "Nothing was imported: some lines are wrong."


class NothingToMeasure(Conflict):
    code = "evaluation_without_questions"
    message = "The set has no approved question."


class NothingToAskAbout(Conflict):
    code = "evaluation_without_documents"
    message = "There is no processed document to ask about."


class ModelUnusable(Invalid):
    code = "evaluation_model_unusable"
    message = "There is no such chat model."


class RunNotFound(NotFound):
    code = "evaluation_run_not_found"
    message = "There is no such run."


class RunNotComparable(Conflict):
    code = "evaluation_run_not_comparable"
    message = "Runs are compared once they are finished, with finished ones of the same set."
