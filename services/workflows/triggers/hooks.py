"""Deliveries to webhooks: proved, mapped to inputs, and answered with the execution they started."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.workflows.triggers import repository
from services.workflows.triggers.errors import HookDisabled, HookFailed, HookRefused
from services.workflows.triggers.schemas import HOOK_ROOTS, HookAccepted, TriggerKind, Verification
from services.workflows.triggers.secrets import SealedSecrets, decoy, sealed_secrets
from shared.auth.api_keys import hash_secret
from shared.auth.principal import Principal
from shared.database.session import Scope, WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.database.tables.triggers import Trigger
from shared.executions.snapshot import InputsInvalid
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject
from shared.triggers.firing import fire
from shared.web.errors import AppError, ErrorDetail
from shared.web.resources import Resources
from shared.webhooks import signatures
from shared.workflow.expressions import ExpressionError, Meter, compile_expression

_THROTTLE = "600/minute"
# Headers that a workflow may see: those that say what is delivered, and none that prove who delivers it.
_PLAIN = frozenset({"content-type", "user-agent", signatures.ID})
_PROOF = re.compile("auth|cookie|key|pass|secret|session|sign|token|^x-(forwarded|real-ip|correlation)")


@dataclass(frozen=True, slots=True)
class Delivery:
    """As it came: names of headers in lower case, the body unread."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


async def receive(app: Resources, token: str, client: str, delivery: Delivery) -> HookAccepted:
    """Raises `HookRefused` for a token that nobody has and for a delivery that is not proved, and stores nothing."""
    token_hash = hash_secret(token)
    await app.throttle.check(_THROTTLE, "hook", token_hash.hex(), client)
    async with app.database.write(Scope()) as session:
        found: Any = await repository.find_webhook(session, token_hash)
        if found is None:
            _prove(decoy(app.cipher), Verification.SIGNATURE, delivery)
            raise HookRefused
        sealed = SealedSecrets(found.id, found.tenant_id, found.secret, found.old_secret, found.old_secret_until)
        message_id = _prove(sealed.opened(app.cipher), Verification(found.verification), delivery)
        await session.set_scope(Scope(found.tenant_id, found.acts_for))
        trigger = await session.get_one(Trigger, found.id)
        if not trigger.enabled:
            raise HookDisabled
        outcome = await _start(session, app, trigger, delivery, message_id)
    if isinstance(outcome, AppError):
        raise HookFailed
    return HookAccepted(execution_id=outcome.id)


async def send_test(app: Resources, caller: Principal, trigger_id: UUID, body: Json) -> HookAccepted:
    """Fires the trigger as if its time had come, or as a delivery with this body would, signed like any other.

    It need not be enabled. Raises what keeps it from starting its workflow.
    """
    async with app.database.write(caller.scope) as session:
        trigger = await repository.get_trigger(session, trigger_id)
        if trigger.kind == TriggerKind.WEBHOOK:
            secrets = sealed_secrets(trigger).opened(app.cipher)
            delivery = _test_delivery(secrets[0], body)
            message_id = _prove(secrets, Verification.SIGNATURE, delivery)
            outcome = await _start(session, app, trigger, delivery, message_id)
        else:
            inputs: JsonObject = trigger.config["inputs"]
            outcome = await fire(session, trigger, app.doorbell.ring, lambda: inputs, None)
    if isinstance(outcome, AppError):
        raise outcome
    return HookAccepted(execution_id=outcome.id)


def _test_delivery(secret: str, body: Json) -> Delivery:
    raw = json.dumps(body).encode()  # which writes whatever JSON a caller may send
    signed = signatures.sign(secret, f"test_{new_id().hex}", utcnow(), raw)
    return Delivery({"content-type": "application/json", **signed}, {}, raw)


def _prove(secrets: list[str], verification: Verification, delivery: Delivery) -> str | None:
    """The delivery's id; where the URL is proof enough it may have none."""
    if verification is Verification.TOKEN_ONLY:
        message_id = delivery.headers.get(signatures.ID, "")
        return message_id if signatures.sane_id(message_id) else None
    try:
        return signatures.verify(secrets, delivery.headers, delivery.body, utcnow())
    except signatures.NotGenuine:
        raise HookRefused from None


async def _start(
    session: WriteSession, app: Resources, trigger: Trigger, delivery: Delivery, message_id: str | None
) -> ExecutionRow | AppError:
    """A delivery that comes again is answered with what it started, even if the trigger was changed meanwhile."""
    key = None if message_id is None else f"webhook:{trigger.id}:{message_id}"
    earlier = None if key is None else await repository.find_started(session, key)
    if earlier is not None:
        return earlier
    expressions: dict[str, str] | None = trigger.config["inputs"]
    return await fire(session, trigger, app.doorbell.ring, lambda: _inputs(expressions, delivery), key)


def _inputs(expressions: Mapping[str, str] | None, delivery: Delivery) -> JsonObject:
    body = _json(delivery.body)
    if expressions is None:
        if not isinstance(body, dict):
            raise _unfit("body", "the body must be a JSON object: it is the inputs", "body_invalid")
        return body
    scope = {"body": body, "headers": _shown(delivery.headers), "query": dict(delivery.query)}
    meter = Meter()
    return {name: _evaluate(name, source, scope, meter) for name, source in expressions.items()}


def _json(body: bytes) -> Json:
    """No body is an empty object."""
    try:
        return json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise _unfit("body", "the body is not JSON", "body_invalid") from None


def _evaluate(name: str, source: str, scope: Mapping[str, Any], meter: Meter) -> Json:
    try:
        return compile_expression(source, HOOK_ROOTS).evaluate(scope, meter)
    except ExpressionError as broken:
        raise _unfit(f"webhook.inputs.{name}", broken.message, "expression_failed") from None


def _unfit(field: str, message: str, code: str) -> InputsInvalid:
    return InputsInvalid(details=[ErrorDetail(field=field, message=message, code=code)])


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name in _PLAIN or (name.startswith("x-") and _PROOF.search(name) is None)
    }
