"""Collections that Chroma has lost."""

from shared.web.resources import Resources


async def sweep(app: Resources) -> int:
    return 0
