"""A mail as text: its headers, its body, its attachments as parts."""

import io
import re

from services.knowledge_base.ingestion.extract import read_part
from services.knowledge_base.ingestion.extract.assembly import Assembly, as_title, named
from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.html.reader import read_page
from services.knowledge_base.ingestion.extract.mail.model import Attachment, Body, Mail, MailEncrypted
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
)

# A mail within a mail within a mail is read; what is deeper is there to tire us out.
_DEEPEST = 5
# Of these a mail is full, and none is a document: logos, buttons, signatures.
_NOT_DOCUMENTS = re.compile(r"\.(?:p7s|p7m|asc|sig|pgp|vcf|ics|gif|png|jpe?g|bmp|svg|emf|wmz|mso|mp3|wav|mp4)$", re.I)


def read_mail(mail: Mail, kind: DocumentFormat, limits: ContentLimits) -> Extracted:
    assembly = Assembly(limits)
    written = write_mail(assembly, mail, limits)
    if mail.encrypted and not written:
        raise MailEncrypted
    return assembly.assembled(kind, mail.subject, mail.dated_at)


def write_mail(assembly: Assembly, mail: Mail, limits: ContentLimits, *, deeper: int = 0, depth: int = 0) -> bool:
    """Whether there was anything but headers."""
    assembly.block("\n".join(f"{name}: {value}" for name, value in mail.headers))
    written = False
    for body in mail.bodies:
        found = _body(body, limits)
        if found.text.strip():
            assembly.embed(found, deeper)
            written = True
    if mail.encrypted:
        assembly.warn("The mail is encrypted and could not be read.")
    for attachment in mail.attachments:
        written = _attachment(assembly, attachment, limits, depth) or written
    return written


def _body(body: Body, limits: ContentLimits) -> Extracted:
    if body.is_html:
        return read_page(body.text, limits)
    return Extracted(DocumentFormat.TEXT, clean(body.text).strip("\n"))


def _attachment(assembly: Assembly, attachment: Attachment, limits: ContentLimits, depth: int) -> bool:
    name = named(attachment.name)
    if not assembly.has_room_for_parts:
        assembly.warn(f"The mail has more attachments than the {limits.parts} that are read.")
        return False
    if attachment.mail is not None and depth < _DEEPEST:
        inner = Assembly(limits)
        write_mail(inner, attachment.mail, limits, depth=depth + 1)
        assembly.part(name, inner.assembled(DocumentFormat.EML, None, None))
        return True
    try:
        found = read_part(Source(io.BytesIO(attachment.data), name), limits)
    except ExtractionError as error:
        if not _is_ornament(name, error):
            assembly.warn(f"The attachment {name!r} could not be read: {error.message}")
        return False
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a reader stumbles over, the rest of the mail can be read
        assembly.warn(f"The attachment {name!r} could not be read: it is damaged.")
        return False
    assembly.part(name, found)
    return True


def _is_ornament(name: str, error: ExtractionError) -> bool:
    nothing = (ExtractionCode.UNSUPPORTED, ExtractionCode.NO_TEXT, ExtractionCode.EMPTY, ExtractionCode.OCR_MISSING)
    return error.code in nothing and _NOT_DOCUMENTS.search(name) is not None


def mail_title(mail: Mail) -> str:
    return as_title(mail.subject) or "(no subject)"
