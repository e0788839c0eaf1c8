"""Connections over the wire. A secret goes in and never comes out."""

import re
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, model_validator

from shared.net.policy import UrlRefused
from shared.tools.connections import ConnectionKind, read_host
from shared.web.schemas import Name, RequestModel, ResponseModel, Timestamp
from shared.workflow.requests import HeaderName

# A user name and a password may be anything that goes into base64.
_LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,4000}")
_SENT_AS_IT_IS = re.compile(r"[!-~](?:[ -~]{0,3998}[!-~])?")


def _host(host: str) -> str:
    try:
        return read_host(host)
    except UrlRefused as refused:
        raise ValueError(str(refused)) from None


def _line(secret: SecretStr) -> SecretStr:
    if not _LINE.fullmatch(secret.get_secret_value()):
        raise ValueError("must be one line of text of at most 4,000 characters")
    return secret


Host = Annotated[Name, AfterValidator(_host)]
Secret = Annotated[SecretStr, AfterValidator(_line)]


class ConnectionIn(RequestModel):
    """On a change, a secret that is not given stays as it is, unless the host is another one.

    `basic` takes `user:password` as its secret. `header_name` is for the kind `header` alone, and needed there.
    """

    name: Name
    host: Host = Field(description="The one it is sent to: api.example.com, or api.example.com:8443.")
    kind: ConnectionKind
    header_name: HeaderName | None = None
    secret: Secret | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.header_name is not None) != (self.kind is ConnectionKind.HEADER):
            raise ValueError("header_name is for the kind header, which needs it")
        secret = None if self.secret is None else self.secret.get_secret_value()
        if secret is None:
            return self
        if self.kind is ConnectionKind.BASIC and ":" not in secret:
            raise ValueError("the secret of basic reads user:password")
        if self.kind is not ConnectionKind.BASIC and not _SENT_AS_IT_IS.fullmatch(secret):
            raise ValueError("the secret travels in a header: printable ASCII characters, no blank at either end")
        return self


class ConnectionOut(ResponseModel):
    id: UUID
    name: str
    host: str
    kind: ConnectionKind
    header_name: str | None
    created_by: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class ConnectionSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"
    NAME = "name"
    NAME_DOWN = "-name"
