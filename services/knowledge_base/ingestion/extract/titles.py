"""Titles as people gave them: what programs write in their place is none."""

import re

_LENGTH = 300
_PROGRAM = re.compile(r"microsoft (?:word|powerpoint|excel|visio|publisher) - ", re.I)
_NO_TITLE = re.compile(
    r"\W*(?:untitled|unknown|anonymous|unspecified|none|null|title|presentation|document|dokument|slide|folie|book|sheet"
    r"|(?:powerpoint[ -]pr[äe]sentation|présentation powerpoint|adobe photoshop pdf|word document|print|scan|layout)"
    r")\W*\d*\W*"
    r"|.*\.(?:docx?|dotx?|odt|rtf|pptx?|ppsx?|odp|xlsx?|ods|csv|pdf|txt|html?|png|jpe?g|tiff?|gif|bmp|indd|qxd|dvi|tex)"
    r"|(?:https?|file)://\S*",
    re.I,
)


def given_title(text: str | None) -> str | None:
    title = _PROGRAM.sub("", " ".join((text or "").replace("\x00", "").split()))
    return None if not title or _NO_TITLE.fullmatch(title) else title[:_LENGTH]
