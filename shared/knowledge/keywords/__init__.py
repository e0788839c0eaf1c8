"""BM25 over a tenant's chunks, in Postgres: immutable segments, merged as they grow in number.

Who makes a document searchable calls `add` in the same transaction, and `merge` afterwards. A document that is deleted
leaves the index by itself. See docs/decisions/0013-keywords-in-postgres.md.
"""

from shared.knowledge.keywords.languages import LANGUAGES
from shared.knowledge.keywords.merging import merge
from shared.knowledge.keywords.store import KeywordChunk, add, missing, remove

__all__ = ["LANGUAGES", "KeywordChunk", "add", "merge", "missing", "remove"]
