"""Writes the merged OpenAPI document: `python -m gateway.openapi_export [FILE]`. The same services, the same bytes."""

import argparse
import json
import sys
from pathlib import Path

from gateway.embedded import SERVICES
from gateway.openapi import merge
from shared.kit.json import JsonObject
from shared.web.app import create_app


def merged_document() -> JsonObject:
    """Without starting anything: a service's document needs no database."""
    return merge({service.name: create_app(service).openapi() for service in SERVICES})


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the merged OpenAPI document.")
    parser.add_argument("file", nargs="?", type=Path, default=Path("docs/openapi.json"))
    parser.add_argument("--check", action="store_true", help="only say whether the file is up to date")
    arguments = parser.parse_args()
    file: Path = arguments.file
    text = json.dumps(merged_document(), indent=1, ensure_ascii=False) + "\n"
    if not arguments.check:
        file.write_text(text, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        sys.exit(f"{file} is out of date: run `make openapi`.")


if __name__ == "__main__":
    main()
