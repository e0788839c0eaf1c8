"""OpenDocument presentations (.odp): a slide is a page and its title a heading."""

from services.knowledge_base.ingestion.extract.compose import Composer, one_line
from services.knowledge_base.ingestion.extract.model import ContentLimits, DocumentFormat, Extracted, Source
from services.knowledge_base.ingestion.extract.office.xml import Element
from services.knowledge_base.ingestion.extract.opendocument.body import Body, texts_in
from services.knowledge_base.ingestion.extract.opendocument.package import OpenDocument
from services.knowledge_base.ingestion.extract.opendocument.xml import DRAW, PRESENTATION

_CLASS = PRESENTATION + "class"
_NOT_READ = ("page-number", "date-time", "page")


def extract_odp(source: Source, limits: ContentLimits) -> Extracted:
    document = OpenDocument(source.read(), limits)
    composer = Composer(limits)
    body = Body(composer, document)
    content, styles = document.content, document.xml("styles.xml")
    for root in (content,) if styles is None else (content, styles):
        body.learn_styles(root)
    for slide in content.iter(DRAW + "page"):
        composer.page()
        _add_slide(composer, body, slide)
    return composer.extracted(DocumentFormat.ODP, *document.title_and_date())


def _add_slide(composer: Composer, body: Body, slide: Element) -> None:
    shapes = [shape for shape in slide if shape.get(_CLASS, "") not in _NOT_READ]
    for shape in shapes:
        if shape.get(_CLASS, "") == "title":
            composer.heading(1, " ".join(texts_in(shape)))
    for shape in shapes:
        if shape.get(_CLASS, "") != "title":
            body.blocks([shape])
    for notes in slide.findall(PRESENTATION + "notes"):
        text = one_line(" ".join(texts_in(notes))).strip()
        composer.block(f"Notes: {text}" if text else "")
