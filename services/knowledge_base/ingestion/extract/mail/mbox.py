"""Mailboxes: mails one after another, each begun by a line "From "."""

import re
from collections.abc import Iterator

from services.knowledge_base.ingestion.extract.assembly import Assembly
from services.knowledge_base.ingestion.extract.mail.eml import parse_mail
from services.knowledge_base.ingestion.extract.mail.model import Mail
from services.knowledge_base.ingestion.extract.mail.write import mail_title, write_mail
from services.knowledge_base.ingestion.extract.model import ContentLimits, DocumentFormat, Extracted, Source

# With a year in it: a letter may begin a paragraph with "From" too.
_BEGIN = re.compile(rb"(?:\A\s*|\n\r?\n)(?=From [^\n]*\b(?:19|20)\d\d\b[^\n]*\r?\n[!-9;-~]+:)")
_QUOTED = re.compile(rb"^>(>*From )", re.M)


def extract_mbox(source: Source, limits: ContentLimits) -> Extracted:
    assembly = Assembly(limits)
    in_part = False
    title: str | None = None
    dates: list[str] = []
    encrypted = 0
    for mail in _mails(source.read()):
        title = title or mail.subject
        dates += [mail.dated_at] if mail.dated_at else []
        if in_part:  # or it would stand in the attachment of the mail before
            assembly.open_part(mail_title(mail))
        assembly.heading(1, mail_title(mail))
        write_mail(assembly, mail, limits, deeper=1)
        in_part = bool(mail.attachments)
        encrypted += mail.encrypted
    return assembly.assembled(DocumentFormat.MBOX, None, max(dates, default=None))


def _mails(data: bytes) -> Iterator[Mail]:
    begins = [match.end() for match in _BEGIN.finditer(data)] or [0]
    for begin, end in zip(begins, [*begins[1:], len(data)], strict=True):
        one = data[begin:end]
        if one.strip():
            yield parse_mail(_QUOTED.sub(rb"\1", one))
