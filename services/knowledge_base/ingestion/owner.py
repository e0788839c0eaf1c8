from dataclasses import dataclass
from uuid import UUID

from shared.kit.json import JsonObject


@dataclass(frozen=True, slots=True)
class Owner:
    """An ingestion and what it works on: the content `version` of a document, to become its `revision`."""

    tenant_id: UUID
    execution_id: UUID
    knowledge_base_id: UUID
    document_id: UUID
    version: int
    revision: int

    @classmethod
    def of(cls, tenant_id: UUID, execution_id: UUID, spec: JsonObject) -> "Owner":
        return cls(
            tenant_id=tenant_id,
            execution_id=execution_id,
            knowledge_base_id=UUID(spec["knowledge_base_id"]),
            document_id=UUID(spec["document_id"]),
            # The release before knew neither.
            version=spec.get("version", 1),
            revision=spec.get("revision", 0),
        )
