"""Route of the audit, for administrators, and of the description of the API."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from vst_dicom.ledger.audit import AuditEntry, list_audit
from vst_dicom.service.addresses import API
from vst_dicom.service.holdings import Limit, Offset, Reading

router: Final = APIRouter(prefix=API, tags=["Operation"])


class AuditRead(BaseModel):
    """Who asked for what, and how it ended."""

    at: datetime
    who: str
    role: str
    address: str
    method: str
    route: str
    study_instance_uid: str
    target: str
    status: int

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditRead":
        """Show a row."""
        return cls(**{name: getattr(entry, name) for name in AuditEntry.__slots__})


class Audit(BaseModel):
    """A page of the audit."""

    entries: list[AuditRead]
    total: int


@router.get("/audit")
def read_audit(
    connection: Reading,
    limit: Limit = 100,
    offset: Offset = 0,
    study_instance_uid: Annotated[str, Query(pattern=r"^[0-9.]{0,64}$", description="Only about this study")] = "",
    who: Annotated[str, Query(max_length=300, description="Only of this person or machine")] = "",
) -> Audit:
    """Read who looked at what and changed what, the newest first.

    The same look at the same thing by the same person is one row in ten minutes.
    """
    found, total = list_audit(connection, study_instance_uid=study_instance_uid, who=who, limit=limit, offset=offset)
    return Audit(entries=[AuditRead.of(entry) for entry in found], total=total)


@router.get("/openapi.json", include_in_schema=False)
async def describe(request: Request) -> dict[str, Any]:
    """Describe the API (OpenAPI)."""
    schema: dict[str, Any] = request.app.openapi()
    return schema
