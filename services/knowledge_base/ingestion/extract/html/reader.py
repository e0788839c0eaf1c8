"""HTML pages, saved or fetched from the web."""

from services.knowledge_base.ingestion.extract.compose import Composer
from services.knowledge_base.ingestion.extract.html.metadata import find_date, find_title
from services.knowledge_base.ingestion.extract.html.render import Renderer
from services.knowledge_base.ingestion.extract.html.tree import decode_page, parse_page
from services.knowledge_base.ingestion.extract.model import ContentLimits, DocumentFormat, Extracted, Source


def extract_html(source: Source, limits: ContentLimits) -> Extracted:
    return read_page(decode_page(source.read()), limits, main_content=source.web)


def read_page(page: str, limits: ContentLimits, *, main_content: bool = False) -> Extracted:
    tree = parse_page(page)
    composer = Composer(limits)
    if tree is None:
        return composer.extracted(DocumentFormat.HTML)
    title, dated_at = find_title(tree), find_date(tree)
    body = None
    if main_content:
        # Only then is it needed, and it takes half a second to be imported.
        from services.knowledge_base.ingestion.extract.html.main_content import find_main_content  # noqa: PLC0415

        body = find_main_content(page, tree)
    Renderer(composer).render(tree if body is None else body)
    return composer.extracted(DocumentFormat.HTML, title, dated_at)
