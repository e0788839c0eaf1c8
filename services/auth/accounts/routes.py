from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Cookie, Depends, Request, Response, status

from services.auth.accounts import service
from services.auth.accounts.errors import EmailTaken, ForeignOrigin, SessionEnded, WrongCredentials, WrongPassword
from services.auth.accounts.schemas import Jwks, Login, Me, Register, TokenAnswer, UpdateMe
from services.auth.accounts.service import AccountService, SignedIn
from shared.auth.errors import NotAllowed, NotAuthenticated
from shared.net.addresses import line_of
from shared.web.dependencies import App, Caller, Person, ReadDb, WriteDb
from shared.web.errors import Invalid, responses
from shared.web.throttle import TooManyRequests

router = APIRouter(tags=["auth"])
jwks_router = APIRouter(tags=["auth"])

COOKIE = "quarterdeck_refresh"
COOKIE_PATH = "/api/v1/auth"
CLIENT_HEADER = "X-Quarterdeck-Client"


def _accounts(app: App) -> AccountService:
    return AccountService(app)


def _own_page(request: Request, app: App) -> None:
    """Proof that the app's own page sends this, and not a foreign one with the person's cookie.

    The header cannot be sent across origins without a preflight, which only our own origins pass.
    """
    origin = request.headers.get("origin")
    known = {_origin(app.settings.public_url), *filter(None, app.settings.cors_origins.split(","))}
    own_host = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if CLIENT_HEADER not in request.headers or (origin is not None and origin not in known and not own_host):
        raise ForeignOrigin


def _client(request: Request) -> str:
    return line_of(request.client.host) if request.client else "-"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


Accounts = Annotated[AccountService, Depends(_accounts)]
RefreshCookie = Annotated[str | None, Cookie(alias=COOKIE, max_length=200)]


def answer(response: Response, app: App, signed_in: SignedIn) -> TokenAnswer:
    response.set_cookie(
        COOKIE,
        signed_in.refresh_token,
        max_age=signed_in.refresh_max_age,
        path=COOKIE_PATH,
        secure=app.settings.secure_cookies or app.settings.public_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )
    response.headers["Cache-Control"] = "no-store"
    return TokenAnswer(access_token=signed_in.access_token, token_type="bearer", expires_in=signed_in.expires_in)


@router.post("/auth/register", status_code=status.HTTP_201_CREATED, responses=responses(EmailTaken, TooManyRequests))
async def register(request: Register, response: Response, app: App, accounts: Accounts) -> TokenAnswer:
    """Makes a person and a tenant of his own, and signs him in."""
    return answer(response, app, await accounts.register(request))


@router.post("/auth/login", responses=responses(WrongCredentials, TooManyRequests))
async def login(request: Login, response: Response, http: Request, app: App, accounts: Accounts) -> TokenAnswer:
    return answer(response, app, await accounts.login(request, _client(http)))


@router.post("/auth/refresh-token", dependencies=[Depends(_own_page)], responses=responses(SessionEnded, ForeignOrigin))
async def refresh_token(response: Response, app: App, accounts: Accounts, cookie: RefreshCookie = None) -> TokenAnswer:
    """Spends the refresh cookie for a new one. Needs the `X-Quarterdeck-Client` header, of any value."""
    return answer(response, app, await accounts.refresh(cookie))


@router.post(
    "/auth/logout", status_code=status.HTTP_204_NO_CONTENT, responses=responses(ForeignOrigin, NotAuthenticated)
)
async def logout(
    request: Request, response: Response, app: App, accounts: Accounts, cookie: RefreshCookie = None
) -> None:
    """Ends the session of the access token, if one is sent, and that of the cookie; tokens stop within seconds."""
    if authorization := request.headers.get("authorization"):
        await accounts.end_session(await app.authenticator.authenticate(authorization))
    if cookie:
        _own_page(request, app)
        await accounts.logout(cookie)
        response.delete_cookie(COOKIE, path=COOKIE_PATH)


@router.get("/users/me")
async def get_me(session: ReadDb, caller: Caller) -> Me:
    return await service.read_me(session, caller)


@router.put("/users/me", responses=responses(WrongPassword, NotAllowed, Invalid, TooManyRequests))
async def update_me(request: UpdateMe, session: WriteDb, http: Request, app: App, caller: Person) -> Me:
    return await service.update_me(session, app.throttle, caller, request, _client(http))


@jwks_router.get("/.well-known/jwks.json")
async def jwks(app: App) -> Jwks:
    return Jwks.model_validate(await app.keys.public_set())
