"""Streaming over retries without saying anything twice."""

from shared.llm.types import Delta, DeltaSink


class ResumingSink:
    """Hands on what a watcher has not seen yet.

    A retry starts its answer anew. As long as it repeats what was already shown it is kept quiet; once it goes on
    from there it is shown again; if it says something else it stays quiet to the end, and the watcher gets the
    whole text with the step's result.
    """

    def __init__(self, sink: DeltaSink) -> None:
        self._sink = sink
        self._shown = {"message": "", "reasoning": ""}

    def begin(self) -> DeltaSink:
        """The sink for the next try."""
        repeated = dict(self._shown)

        def take(delta: Delta) -> None:
            rest = repeated[delta.kind]
            if not rest:
                self._show(delta)
            elif rest.startswith(delta.text):
                repeated[delta.kind] = rest[len(delta.text) :]
            elif delta.text.startswith(rest):
                repeated[delta.kind] = ""
                self._show(Delta(delta.kind, delta.text[len(rest) :]))
            else:
                repeated[delta.kind] = _NEVER

        return take

    def _show(self, delta: Delta) -> None:
        self._shown[delta.kind] += delta.text
        self._sink(delta)


# Starts with nothing that is ever sent, so that a try which went astray stays quiet.
_NEVER = "\x00"
