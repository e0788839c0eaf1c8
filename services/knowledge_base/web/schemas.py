from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from services.knowledge_base.documents.schemas import AgentIds, RefreshHours, Tags
from shared.web.schemas import Name, RequestModel, Text

MAX_URLS = 50
MAX_URL = 2000

Url = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_URL)]


def _each_once(urls: list[str]) -> list[str]:
    return list(dict.fromkeys(urls))


class UrlContent(RequestModel):
    urls: Annotated[list[Url], Field(min_length=1, max_length=MAX_URLS), AfterValidator(_each_once)]
    name: Name | None = Field(default=None, description="Of a single page; without it a page is named by its address.")
    tags: Tags = Field(default=[])
    agent_ids: AgentIds = Field(default=[])
    refresh_every_hours: RefreshHours | None = Field(
        default=None, description="How often the pages are fetched again; without it: once."
    )

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.name is not None and len(self.urls) > 1:
            raise ValueError("a name is for one page: leave it out, or send one address")
        return self
