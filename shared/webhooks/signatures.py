"""Messages signed as Standard Webhooks has it (https://www.standardwebhooks.com), both ways."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

# A message that is older, or newer, is refused: who overheard it cannot send it again later.
TOLERANCE = timedelta(minutes=5)

_PREFIX = "whsec_"
_SECRET_BYTES = 32
# A full stop parts id, timestamp and body in what is signed, so an id cannot have one.
_SANE_ID = re.compile(r"[!-\-/-~]{1,256}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_MOST_SIGNATURES = 10


class NotGenuine(Exception):
    """The message was not signed with the secret, or not lately, or it lacks what must be signed."""


def new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sane_id(message_id: str) -> bool:
    return _SANE_ID.fullmatch(message_id) is not None


def sign(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers to send `body` with."""
    seconds = str(int(at.timestamp()))
    signature = base64.b64encode(_digest(secret, message_id, seconds, body)).decode()
    return {ID: message_id, TIMESTAMP: seconds, SIGNATURE: f"v1,{signature}"}


def verify(keys: Iterable[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """The message's id, if one of its signatures was made with one of the secrets `keys`; else raises `NotGenuine`.

    The names in `headers` are in lower case. How long it takes does not depend on which of the signatures is right.
    """
    message_id, seconds = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    given = [_decoded(one) for one in headers.get(SIGNATURE, "").split(" ")[:_MOST_SIGNATURES]]
    genuine = False
    for secret in keys:
        expected = _digest(secret, message_id, seconds, body)
        for signature in given:
            genuine |= hmac.compare_digest(signature, expected)
    if not (genuine and sane_id(message_id) and _is_fresh(seconds, now)):
        raise NotGenuine
    return message_id


def _digest(secret: str, message_id: str, seconds: str, body: bytes) -> bytes:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{seconds}.".encode() + body
    return hmac.new(key, signed, hashlib.sha256).digest()


def _decoded(signature: str) -> bytes:
    """What is no signature of a kind we know is as good as a wrong one."""
    version, _, encoded = signature.partition(",")
    if version != "v1":
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_fresh(seconds: str, now: datetime) -> bool:
    if _SECONDS.fullmatch(seconds) is None:
        return False
    return abs(now.timestamp() - int(seconds)) <= TOLERANCE.total_seconds()
