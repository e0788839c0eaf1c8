from shared.web.errors import Conflict


class NameTaken(Conflict):
    code = "knowledge_base_name_taken"
    message = "Another knowledge base has this name."
