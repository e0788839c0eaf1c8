from zoneinfo import ZoneInfo

from shared.kit.clock import utcnow
from shared.tools.errors import ToolInputError


def current_time(timezone: str = "UTC") -> str:
    """Date, time and weekday in a time zone. Raises `ToolInputError` for one that is not known."""
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ToolInputError(
            f"{timezone!r} is not a known time zone; use a name such as Europe/Berlin or UTC"
        ) from None
    now = utcnow().astimezone(zone)
    return f"{now.isoformat(timespec='seconds')} ({now:%A})"
