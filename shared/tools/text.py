"""Counts that models are bad at."""

from shared.kit.json import dumps


def text_statistics(text: str) -> str:
    """A JSON object of counts."""
    return dumps({
        "characters": len(text),
        "characters_without_spaces": sum(not character.isspace() for character in text),
        "words": len(text.split()),
        "lines": len(text.splitlines()),
        "paragraphs": sum(bool(block.strip()) for block in text.replace("\r\n", "\n").split("\n\n")),
    })  # fmt: skip
