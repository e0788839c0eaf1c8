from sqlalchemy.engine import URL, make_url


def asyncpg_url(url: str) -> URL:
    """`url` with our driver, however the operator wrote it (`postgres://`, `postgresql://`, ...)."""
    return make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+asyncpg")
