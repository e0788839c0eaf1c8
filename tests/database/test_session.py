import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.database.session import Scope, is_unique_violation
from tests.support.platform import Account, Platform


async def test_an_error_does_not_tell_what_was_sent(platform: Platform, ada: Account) -> None:
    """Errors are logged; and what somebody typed must not pass for the name of a constraint."""
    insert = text("INSERT INTO users (id, email, display_name, password_hash) VALUES (:id, :email, :name, :hash)")
    sent = {"id": ada.user_id, "email": "other@example.com", "name": "uq_users_email", "hash": "canary"}
    with pytest.raises(IntegrityError) as caught:
        async with platform.resources.database.write(Scope(ada.tenant_id, ada.user_id)) as session:
            await session.execute(insert, sent)

    assert "canary" not in str(caught.value)
    assert is_unique_violation(caught.value, "pk_users")
    assert not is_unique_violation(caught.value, "uq_users_email")
