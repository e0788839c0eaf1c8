"""Nodes that make values of values, and choose ways by them."""

from typing import Self

from pydantic import Field, model_validator

from shared.workflow.configs.base import About, CaseName, Config, ItemName, NodeConfig
from shared.workflow.texts import Cel, TemplateText


class Case(Config):
    name: CaseName
    when: Cel


class ConditionConfig(NodeConfig):
    """The first case that holds wins, else `default`. Output `{"case": name}`; edges leave by `port` = name."""

    about = About("Condition", ports_from=("cases.*.name", "default"))

    cases: tuple[Case, ...] = Field(min_length=1, max_length=50)
    default: CaseName = "else"

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [*(case.name for case in self.cases), self.default]
        if len(set(names)) != len(names):
            raise ValueError("two cases have the same name (the default counts): give each its own")
        return self

    @property
    def ports(self) -> tuple[str, ...]:
        return (*(case.name for case in self.cases), self.default)


class TransformConfig(NodeConfig):
    """Makes a value of other values; the value is the output. Exactly one of the two is given."""

    about = About("Transform")

    expression: Cel | None = None
    template: TemplateText | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.expression is None) == (self.template is None):
            raise ValueError("give either expression or template")
        return self


class OutputConfig(NodeConfig):
    """Gathers the results of the workflow; the values are the output."""

    about = About("Output")

    values: dict[ItemName, Cel] = Field(min_length=1, max_length=100)
