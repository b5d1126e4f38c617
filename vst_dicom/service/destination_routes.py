"""Routes of what surrounds the slides: where results go, and what was decided."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit, urlunsplit

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from vst_dicom.config import Destination
from vst_dicom.ledger.decisions import What, find_decisions
from vst_dicom.ledger.deliveries import read_traffic
from vst_dicom.ledger.states import DeliveryState
from vst_dicom.service.addresses import API
from vst_dicom.service.holdings import Limit, Offset, Reading, ServerSettings
from vst_dicom.service.worklist_models import DecisionRead, DeliveryRead

router: Final = APIRouter(prefix=API, tags=["Operation"])


class LastDelivery(DeliveryRead):
    """The delivery to a destination that was begun last."""

    job_key: str


class DestinationRead(BaseModel):
    """Where results go, without what only this server may know."""

    name: str
    kind: Literal["dicom", "dicomweb"]
    ae_title: str | None
    address: str = Field(description="Host and port, or base address; passwords left out")
    tls: bool
    storage_commitment: bool
    deliveries: dict[DeliveryState, int] = Field(description="How many stand where")
    last: LastDelivery | None


class Destinations(BaseModel):
    """All destinations of the settings."""

    destinations: list[DestinationRead]


class Decisions(BaseModel):
    """A page of decisions."""

    decisions: list[DecisionRead]
    total: int


@router.get("/destinations")
def list_destinations(settings: ServerSettings, connection: Reading) -> Destinations:
    """List where results go, and how deliveries there stand."""
    traffic = read_traffic(connection)
    found = []
    for name, there in sorted(settings.destinations.items()):
        counts, last = traffic.get(name, ({}, None))
        shown = None if last is None else LastDelivery(**dict(DeliveryRead.of(last)), job_key=last.job_key)
        found.append(
            DestinationRead(
                name=name,
                kind="dicomweb" if there.url else "dicom",
                ae_title=there.ae_title,
                address=_address(there),
                tls=there.tls is not None or there.url.startswith("https://"),
                storage_commitment=there.storage_commitment,
                deliveries=counts,
                last=shown,
            )
        )
    return Destinations(destinations=found)


@router.get("/decisions")
def list_decisions(
    connection: Reading,
    limit: Limit = 100,
    offset: Offset = 0,
    study_instance_uid: Annotated[str, Query(pattern=r"^[0-9.]{0,64}$", description="Only about this study")] = "",
    what: Annotated[What | None, Query(description="Only of this kind")] = None,
) -> Decisions:
    """List what was decided about received objects and why, the newest first."""
    found, total = find_decisions(
        connection, study_instance_uid=study_instance_uid, what=what or "", limit=limit, offset=offset
    )
    return Decisions(decisions=[DecisionRead.of(decision) for decision in found], total=total)


def _address(destination: Destination) -> str:
    if not destination.url:
        return f"{destination.host}:{destination.port}"
    parts = urlsplit(destination.url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
