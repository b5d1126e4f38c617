"""Routes by which whatever runs this server sees whether it lives; no patient data, no login."""

from typing import Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from vst_dicom.service.holdings import Reading

router: Final = APIRouter(prefix="/health", tags=["Operation"])


class Health(BaseModel):
    """How this process is."""

    status: Literal["ok"] = "ok"


@router.get("/live")
async def report_life() -> Health:
    """Say that this process lives."""
    return Health()


@router.get("/ready")
def report_readiness(connection: Reading) -> Health:
    """Say whether this process reaches the database; 503 if it does not."""
    connection.execute(text("SELECT 1"))
    return Health()
