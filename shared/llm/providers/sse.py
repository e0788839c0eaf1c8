"""Server-sent events, as far as model providers use them: the `data` of each event."""

_MAX_EVENT_BYTES = 4 * 1024 * 1024


class EventTooLarge(ValueError):
    pass


class SseParser:
    """Feed it bytes as they arrive; it gives back the data of the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event is larger than {_MAX_EVENT_BYTES} bytes")
        events: list[bytes] = []
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        return events
