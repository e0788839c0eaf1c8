"""What a webhook keeps to itself: the token in its URL, hashed, and the secret that signs deliveries, sealed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.auth.api_keys import hash_secret
from shared.auth.api_keys import new_secret as new_token
from shared.database.tables.triggers import Trigger
from shared.kit.clock import utcnow
from shared.security.encryption import Cipher, Place
from shared.web.app import PREFIX
from shared.web.resources import Resources
from shared.webhooks.signatures import new_secret


@dataclass(frozen=True, slots=True)
class NewHook:
    """To be told once."""

    url: str | None
    secret: str | None


@dataclass(frozen=True, slots=True)
class SealedSecrets:
    """Of one webhook, as they are stored."""

    trigger_id: UUID
    tenant_id: UUID
    secret: bytes
    old_secret: bytes | None
    old_secret_until: datetime | None

    def opened(self, cipher: Cipher) -> list[str]:
        """Those that are good now."""
        secrets = [cipher.open(self.secret, _place("secret", self.trigger_id, self.tenant_id))]
        if self.old_secret is not None and self.old_secret_until is not None and self.old_secret_until > utcnow():
            secrets.append(cipher.open(self.old_secret, _place("old_secret", self.trigger_id, self.tenant_id)))
        return secrets


def sealed_secrets(trigger: Trigger) -> SealedSecrets:
    assert trigger.secret is not None, "every webhook has one"
    return SealedSecrets(trigger.id, trigger.tenant_id, trigger.secret, trigger.old_secret, trigger.old_secret_until)


def new_hook(app: Resources, trigger: Trigger) -> NewHook:
    token, secret = new_token(), new_secret()
    trigger.token_hash = hash_secret(token)
    trigger.secret = _seal(app.cipher, trigger, "secret", secret)
    return NewHook(f"{app.settings.public_url.rstrip('/')}{PREFIX}/hooks/{token}", secret)


def rotate(cipher: Cipher, trigger: Trigger, until: datetime) -> str:
    """The new secret; the one before stays good until then. One that was rotated out before is gone."""
    current, *_ = sealed_secrets(trigger).opened(cipher)
    secret = new_secret()
    trigger.old_secret = _seal(cipher, trigger, "old_secret", current)
    trigger.old_secret_until = until
    trigger.secret = _seal(cipher, trigger, "secret", secret)
    return secret


def decoy(cipher: Cipher) -> list[str]:
    """Nobody's secret, got at like a real one: what it takes to refuse does not tell whether there is a webhook."""
    place = _place("secret", UUID(int=0), UUID(int=0))
    return [cipher.open(cipher.seal(new_secret(), place), place)]


def _seal(cipher: Cipher, trigger: Trigger, column: str, secret: str) -> bytes:
    return cipher.seal(secret, _place(column, trigger.id, trigger.tenant_id))


def _place(column: str, trigger_id: UUID, tenant_id: UUID) -> Place:
    return Place("triggers", column, trigger_id, tenant_id)
