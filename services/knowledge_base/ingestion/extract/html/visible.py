"""Which elements a reader sees, and which of them break the line."""

import re
from typing import cast

from services.knowledge_base.ingestion.extract.html.tree import Element, walk

_BREAK = (
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p pre "
    "search section select summary table tbody td textarea tfoot th thead tr ul xmp"
)
_UNSEEN = (
    "applet audio base canvas colgroup datalist embed frame frameset head iframe input link meta noframes noscript "
    "rp script source style svg template title track video wbr"
)
BLOCKS = frozenset(_BREAK.split())
_NEVER = frozenset(_UNSEEN.split())
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.I)
_SPACES = re.compile(r"\s+")


def is_hidden(element: Element) -> bool:
    if not isinstance(cast(object, element.tag), str) or element.tag in _NEVER:
        return True
    if element.get("hidden") not in (None, "until-found"):
        return True
    style = element.get("style")
    return style is not None and _HIDING.search(style) is not None


def line_of(element: Element) -> str:
    """Everything that is seen in it, on one line."""
    if not len(element):
        return " ".join((element.text or "").split())
    pieces: list[str] = []
    walked = walk(element)
    for event, one in walked:
        breaks = one.tag in BLOCKS or one.tag == "br"
        if breaks and one is not element:
            pieces.append(" ")
        if event == "start":
            if is_hidden(one) and one is not element:
                walked.skip_subtree()
            elif one.tag == "img":
                pieces.append(one.get("alt") or "")
            else:
                pieces.append(one.text or "")
            continue
        if one is not element:
            pieces.append(one.tail or "")
    return _SPACES.sub(" ", "".join(pieces)).strip()
