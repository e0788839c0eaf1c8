import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from shared.database.session import Scope
from shared.web.dependencies import App
from shared.web.resources import Resources

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def alive() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz")
async def ready(app: App) -> Response:
    """200 when the database answers. Redis is reported but not needed: it may be emptied or away at any moment."""
    database, redis = await asyncio.gather(_database(app), _redis(app))
    status = 200 if database == "ok" else 503
    return JSONResponse(
        {"status": "ok" if status == 200 else "unavailable", "database": database, "redis": redis}, status
    )


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _database(app: Resources) -> str:
    try:
        async with asyncio.timeout(3), app.database.read(Scope()) as session:
            await session.execute(text("SELECT 1"))
    except Exception:  # noqa: BLE001 - whatever keeps it from answering, it is not ready
        return "unavailable"
    return "ok"


async def _redis(app: Resources) -> str:
    try:
        async with asyncio.timeout(3):
            await app.redis.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues] - untyped
    except Exception:  # noqa: BLE001 - as above
        return "unavailable"
    return "ok"
