"""Protected documents: asked for a password, told of a wrong one, opened with the right one."""

import base64
import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extractor import Extractor
from tests.knowledge import files, hostile

WORDS = "what nobody may read"
PASSWORD = "Öffne dich 1"
CODE = ExtractionCode


def locked_odt(rounds: int = 1000, derivation: str = "PBKDF2") -> bytes:
    """As LibreOffice writes it: packed, filled up, encrypted."""
    plain = hostile.odt(WORDS)
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        content = archive.read("content.xml")
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(content) + packer.flush()
    salt, vector = os.urandom(16), os.urandom(16)
    key = hashlib.pbkdf2_hmac("sha1", hashlib.sha256(PASSWORD.encode()).digest(), salt, min(rounds, 10_000), 32)
    checksum = hashlib.sha256(packed[:1024]).digest()
    fill = 16 - len(packed) % 16
    cipher = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    told = {name: base64.b64encode(value).decode() for name, value in (("v", vector), ("s", salt), ("c", checksum))}
    kind = "application/vnd.oasis.opendocument.text"
    manifest = (
        '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<m:file-entry m:full-path="/" m:media-type="{kind}"/>'
        f'<m:file-entry m:full-path="content.xml" m:media-type="text/xml" m:size="{len(content)}">'
        f'<m:encryption-data m:checksum-type="urn:x#sha256-1k" m:checksum="{told["c"]}">'
        f'<m:algorithm m:algorithm-name="http://x#aes256-cbc" m:initialisation-vector="{told["v"]}"/>'
        f'<m:key-derivation m:key-derivation-name="{derivation}" m:iteration-count="{rounds}" m:salt="{told["s"]}"/>'
        '<m:start-key-generation m:start-key-generation-name="http://x#sha256" m:key-size="32"/>'
        "</m:encryption-data></m:file-entry></m:manifest>"
    )
    secret = cipher.update(packed + bytes([fill]) * fill) + cipher.finalize()
    return hostile.package({"content.xml": secret, "META-INF/manifest.xml": manifest}, first=kind)


async def code_of(data: bytes, password: str | None = None) -> ExtractionCode:
    with pytest.raises(ExtractionError) as caught:
        await Extractor().extract(data, "document", password=password)
    assert caught.value.message.endswith(".")
    return caught.value.code


LOCKED: dict[str, Callable[[], bytes]] = {"docx": lambda: files.encrypted_office(PASSWORD), "odt": locked_odt}


@pytest.mark.parametrize("kind", LOCKED)
async def test_a_password_opens_it(kind: str) -> None:
    data = LOCKED[kind]()
    assert WORDS.encode() not in data
    assert await code_of(data) is CODE.ENCRYPTED
    assert await code_of(data, "Öffne dich 2") is CODE.PASSWORD_WRONG
    assert WORDS in (await Extractor().extract(data, "document", password=PASSWORD)).text


@pytest.mark.parametrize("kind", LOCKED)
async def test_a_password_nobody_needs_does_no_harm(kind: str) -> None:
    found = await Extractor().extract(hostile.GOOD[kind](), "document", password="x")
    assert "good words" in found.text


async def test_protection_may_not_keep_us_busy() -> None:
    assert await code_of(locked_odt(rounds=2_000_000_000), PASSWORD) is CODE.TOO_HEAVY
    # Office's number of rounds stands in the file as text, of a length that must not change.
    data = LOCKED["docx"]()
    assert b'spinCount="100000"' in data
    assert await code_of(data.replace(b'spinCount="100000"', b'spinCount="9999999'), PASSWORD) is CODE.DAMAGED
    assert await code_of(data.replace(b' spinCount="100000"', b'spinCount="9999999"'), PASSWORD) is CODE.DAMAGED


async def test_protection_not_known_says_so() -> None:
    assert await code_of(locked_odt(derivation="Argon2id"), PASSWORD) is CODE.UNSUPPORTED
