"""A reader that answers whatever its document says, for tests."""

from typing import BinaryIO

from services.knowledge_base.ingestion.extract_child import Order, serve


def lie(order: Order, document: BinaryIO, answer: BinaryIO) -> None:
    answer.write(document.read() + b"\n")


if __name__ == "__main__":
    serve({"extract": lie})
