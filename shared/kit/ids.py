from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A UUIDv7: sorts by time of creation, so it doubles as the keyset for paging."""
    return uuid7()
