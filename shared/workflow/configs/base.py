"""What all node configs share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

CaseName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ItemName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Config(BaseModel):
    """What a node of one type is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def ports(self) -> tuple[str, ...]:
        """The ways by which edges may leave the node; most have none, and their edges no port."""
        return ()
