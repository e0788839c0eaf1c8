from services.auth.accounts.routes import jwks_router
from services.auth.accounts.routes import router as accounts
from services.auth.api_keys.routes import router as api_keys
from services.auth.tenants.routes import router as tenants
from shared.web.app import Service

SERVICE = Service(
    name="auth",
    routers=(accounts, tenants, api_keys),
    root_routers=(jwks_router,),
    public=(
        r"/api/v1/auth/(register|login|refresh-token|logout)",
        r"/\.well-known/jwks\.json",
    ),
)
