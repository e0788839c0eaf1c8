from typing import Annotated

from fastapi import Depends

from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import requires

Reader = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_WRITE))]
