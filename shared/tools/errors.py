class ToolInputError(Exception):
    """What a tool was given is wrong. The text is for whoever called it, a model as a rule."""
