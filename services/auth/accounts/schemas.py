from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, EmailStr, SecretStr, StringConstraints, model_validator

from shared.auth.permissions import Permission, Role
from shared.web.schemas import Name, RequestModel, ResponseModel, Timestamp

MAX_PASSWORD = 256


def _lower(email: str) -> str:
    return email.lower()


def _password(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not 10 <= len(text) <= MAX_PASSWORD:
        raise ValueError(f"a password has 10 to {MAX_PASSWORD} characters")
    text.encode()  # a lone surrogate raises a ValueError here rather than in the hasher
    if "\x00" in text:
        raise ValueError("a password has no NUL characters")
    return value


def _bounded(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) > MAX_PASSWORD or "\x00" in text:
        raise ValueError(f"a password has at most {MAX_PASSWORD} characters")
    text.encode()
    return value


Email = Annotated[EmailStr, StringConstraints(max_length=254), AfterValidator(_lower)]
NewPassword = Annotated[SecretStr, AfterValidator(_password)]
GivenPassword = Annotated[SecretStr, AfterValidator(_bounded)]


class Register(RequestModel):
    email: Email
    password: NewPassword
    display_name: Name
    tenant_name: Name | None = None


class Login(RequestModel):
    email: Email
    password: GivenPassword


class TokenAnswer(ResponseModel):
    """The refresh token comes beside this, in an HttpOnly cookie."""

    access_token: str
    token_type: str
    expires_in: int


class UserTenant(ResponseModel):
    id: UUID
    name: str


class Me(ResponseModel):
    id: UUID
    email: str
    display_name: str
    created_at: Timestamp
    tenant: UserTenant
    role: Role
    permissions: list[Permission]


class UpdateMe(RequestModel):
    """A new password needs the current one, and ends every other session."""

    display_name: Name | None = None
    current_password: GivenPassword | None = None
    new_password: NewPassword | None = None

    @model_validator(mode="after")
    def _both_passwords(self) -> "UpdateMe":
        if (self.current_password is None) != (self.new_password is None):
            raise ValueError("current_password and new_password go together")
        return self


class Jwks(ResponseModel):
    keys: list[dict[str, str]]
