"""PDF pages as images, by pypdfium2, which has no types."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from math import sqrt

import pypdfium2
import pypdfium2.raw as raw

from services.knowledge_base.ingestion.extract.model import damaged, password_needed, password_wrong

_POINTS = 72
_TALLEST = 20_000


def render_page(data: bytes, number: int, password: str | None, dots: int, largest: int) -> tuple[int, int, bytes]:
    """Width, height and rows of gray points, of the page with this number from 0. Large pages get fewer dots."""
    try:
        document = pypdfium2.PdfDocument(data, password=password)
        page = document[number]
        width, height = page.get_size()
        if width <= 0 or height <= 0:
            damaged(f"Page {number + 1} has no size.")
        scale = min(dots / _POINTS, sqrt(largest / (width * height)), _TALLEST / max(width, height))
        bitmap = page.render(scale=scale, grayscale=True)  # pyright: ignore[reportArgumentType] - says int, means float
    except pypdfium2.PdfiumError as error:
        if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            password_wrong() if password else password_needed()
        damaged(f"Page {number + 1} is damaged.")
    except IndexError:
        damaged(f"There is no page {number + 1}.")
    rows = memoryview(bitmap.buffer)
    if bitmap.stride != bitmap.width:
        rows = b"".join(rows[y * bitmap.stride : y * bitmap.stride + bitmap.width] for y in range(bitmap.height))
    return bitmap.width, bitmap.height, bytes(rows)
