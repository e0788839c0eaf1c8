"""What was read of segments, kept in this process: they never change, so it cannot be old."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")

_ENTRY_BYTES = 300  # of the keys and objects around the bytes


class ByteCache(Generic[V]):
    """Bounded in bytes; what was used longest ago goes first. Any thread may use it."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[object, tuple[V, int]] = OrderedDict()
        self._lock = Lock()
        self.size = 0

    def get(self, key: object) -> V | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: object, value: V, size: int) -> None:
        size += _ENTRY_BYTES
        with self._lock:
            old = self._kept.pop(key, None)
            self._kept[key] = (value, size)
            self.size += size - (old[1] if old else 0)
            while self.size > self._most:
                _, (_, freed) = self._kept.popitem(last=False)
                self.size -= freed
