"""A mail, whatever kind of file it came in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError

_MARKUP = re.compile(r"<(style|script|title)\b.*?</\1>|<[^>]*>|&#?\w+;", re.I | re.S)
_WORDS = re.compile(r"\w+")
_COMPARED = 200_000
_PGP = "-----BEGIN PGP MESSAGE-----"
HEADERS = ("From", "To", "Cc", "Date", "Subject")


class MailEncrypted(ExtractionError):
    def __init__(self) -> None:
        super().__init__(
            ExtractionCode.ENCRYPTED, "The mail is encrypted: only the mailbox it was sent to can open it."
        )


@dataclass(frozen=True, slots=True)
class Attachment:
    """`mail` instead of `data` where it is a mail that is at hand already."""

    name: str
    data: bytes = b""
    mail: "Mail | None" = None


@dataclass(frozen=True, slots=True)
class Body:
    text: str
    is_html: bool = False


@dataclass(frozen=True, slots=True)
class Mail:
    headers: tuple[tuple[str, str], ...]
    bodies: tuple[Body, ...]
    attachments: tuple[Attachment, ...]
    subject: str | None = None
    dated_at: str | None = None
    encrypted: bool = False


def is_encrypted(content: str | bytes) -> bool:
    if isinstance(content, str):
        return content.lstrip()[:2000].startswith(_PGP)
    return content[:2000].lstrip().startswith(_PGP.encode())


def best_of(options: Sequence[Sequence[Body]]) -> Sequence[Body]:
    """Of ways to say the same, the plain one; unless it says but a part of it."""
    plain = [option for option in options if option and not any(body.is_html for body in option)]
    rich = [option for option in options if any(body.is_html for body in option)]
    if not rich:
        return max(plain, key=_words, default=())
    richest = max(rich, key=_words)
    return next((option for option in plain if _words(option) * 2 >= _words(richest)), richest)


def _words(option: Sequence[Body]) -> int:
    texts = ((body.text[:_COMPARED], body.is_html) for body in option)
    return sum(len(_WORDS.findall(_MARKUP.sub(" ", text) if is_html else text)) for text, is_html in texts)
