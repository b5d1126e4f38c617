"""What routes of the API are given: settings, ledger, and which page of a list."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from sqlalchemy import Connection, Engine

from vst_dicom.config import Settings
from vst_dicom.ledger.database import for_reading


async def settings_of(request: Request) -> Settings:
    """Find the settings of the server."""
    settings: Settings = request.app.state.settings
    return settings


async def ledger_of(request: Request) -> Engine:
    """Find the ledger, for reading and writing."""
    database: Engine = request.app.state.database
    return database


async def utc_now() -> datetime:
    """Read the clock."""
    return datetime.now(UTC)


def _begin_reading(database: Annotated[Engine, Depends(ledger_of)]) -> Iterator[Connection]:
    with for_reading(database).begin() as connection:
        yield connection


def _begin_changing(database: Annotated[Engine, Depends(ledger_of)]) -> Iterator[Connection]:
    with database.begin() as connection:
        yield connection


ServerSettings = Annotated[Settings, Depends(settings_of)]
Ledger = Annotated[Engine, Depends(ledger_of)]
Reading = Annotated[Connection, Depends(_begin_reading, scope="function")]
"""A transaction that reads; it ends before the response is sent."""

Changing = Annotated[Connection, Depends(_begin_changing, scope="function")]
"""A transaction that changes the ledger; it is committed before the response is sent, or rolled back."""

Now = Annotated[datetime, Depends(utc_now)]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most")]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="How many to leave out first")]
SlideId = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the slide")]
JobKey = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="Key of the job")]
