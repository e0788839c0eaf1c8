class ExpressionError(Exception):
    """An expression that cannot be read or evaluated. `position` counts characters of the source from 0."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class Missing(ExpressionError):
    """A field, key or element that the data does not have; `has()` answers false to it."""


class TooMuchWork(ExpressionError):
    """The meter ran out. No operator and no macro forgives it."""


def tolerable(error: ExpressionError) -> ExpressionError:
    """The error, to be forgotten if another operand decides; what may not be forgotten is raised."""
    if isinstance(error, TooMuchWork):
        raise error
    return error
