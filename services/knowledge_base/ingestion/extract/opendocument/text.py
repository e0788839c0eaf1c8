"""OpenDocument texts (.odt)."""

from services.knowledge_base.ingestion.extract.compose import Composer, one_line
from services.knowledge_base.ingestion.extract.model import ContentLimits, DocumentFormat, Extracted, Source
from services.knowledge_base.ingestion.extract.office.xml import Element
from services.knowledge_base.ingestion.extract.opendocument.body import Body, texts_in
from services.knowledge_base.ingestion.extract.opendocument.package import OpenDocument
from services.knowledge_base.ingestion.extract.opendocument.xml import OFFICE, STYLE, TEXT


def extract_odt(source: Source, limits: ContentLimits) -> Extracted:
    document = OpenDocument(source.read(), limits)
    composer = Composer(limits)
    body = Body(composer, document)
    content, styles = document.content, document.xml("styles.xml")
    if next(content.iter(TEXT + "soft-page-break"), None) is not None:
        composer.page()
    for root in (content,) if styles is None else (content, styles):
        body.learn_styles(root)
    _add_margins(composer, styles, "header")
    for text in content.iter(OFFICE + "text"):
        body.blocks(text)
    _add_margins(composer, styles, "footer")
    title, date = document.title_and_date()
    return composer.extracted(DocumentFormat.ODT, title or composer.title, date)


def _add_margins(composer: Composer, styles: Element | None, kind: str) -> None:
    """What stands above or below every page, once."""
    if styles is None:
        return
    margins = (margin for end in ("", "-left", "-first") for margin in styles.iter(f"{STYLE}{kind}{end}"))
    for text in dict.fromkeys(one_line(" ".join(texts_in(margin))).strip() for margin in margins):
        composer.block(text)
