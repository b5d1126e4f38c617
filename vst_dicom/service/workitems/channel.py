"""The event channel: a WebSocket by which a subscriber is told what happens to work items (PS3.18 8.10.4, 11.13)."""

import asyncio
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Path, WebSocket, WebSocketDisconnect
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from vst_dicom.dicom.procedure_step import element
from vst_dicom.domain.errors import ResourceError
from vst_dicom.ledger.database import for_reading
from vst_dicom.ledger.workitem_events import WorkitemEvent, last_event, list_events, mark_sent
from vst_dicom.service.access.principals import Gatekeeper
from vst_dicom.service.access.roles import least_role
from vst_dicom.service.addresses import DICOMWEB
from vst_dicom.service.dicom_json import write_json

router: Final = APIRouter(prefix=DICOMWEB)

CHANNEL: Final = "/subscribers/{aetitle}"
_POLL_S: Final = 0.5
_CHECK_EVERY: Final = 10
"""Looks between two checks that who listens may still do so."""

_AT_ONCE: Final = 200
_MOST_CHANNELS: Final = 64
_POLICY_VIOLATION: Final = 1008
_LARGEST_MESSAGE_ID: Final = 65_535

_log = structlog.get_logger(__name__)


class Channels:
    """Counts open channels; each asks the ledger for its own events."""

    def __init__(self) -> None:
        self.n_open = 0


class Channel:
    """Events of one subscriber, each once for this connection: those never sent before, then all that come.

    Parameters
    ----------
    database
        The ledger.
    ae_title
        Of the subscriber.
    """

    def __init__(self, database: Engine, ae_title: str) -> None:
        self._database, self._ae_title = database, ae_title
        self._seen: set[int] = set()
        self._n_sent = 0
        with for_reading(database).begin() as connection:
            self._after = last_event(connection)

    def take(self) -> list[WorkitemEvent]:
        """Find events that this connection was not told."""
        with for_reading(self._database).begin() as connection:
            found = list_events(connection, self._ae_title, self._after, _AT_ONCE)
        return [event for event in found if event.id not in self._seen]

    def confirm(self, events: list[WorkitemEvent]) -> None:
        """Note that events were sent."""
        with self._database.begin() as connection:
            mark_sent(connection, [event.id for event in events])
        self._seen.update(event.id for event in events)
        if len(self._seen) >= _AT_ONCE:
            # transactions may commit in another order than they began, so what is close behind stays in view
            self._after = max(self._after, sorted(self._seen)[-_AT_ONCE // 2])
            self._seen = {number for number in self._seen if number > self._after}

    def write(self, event: WorkitemEvent) -> str:
        """Write a message (PS3.18 8.10.5)."""
        self._n_sent = self._n_sent % _LARGEST_MESSAGE_ID + 1
        report: dict[str, Any] = element("MessageID", self._n_sent) | event.report
        return write_json(dict(sorted(report.items())))


@router.websocket(CHANNEL)
async def open_event_channel(websocket: WebSocket, aetitle: Annotated[str, Path(min_length=1, max_length=16)]) -> None:
    """Tell a subscriber of events until either side closes, or its login ends."""
    channels: Channels = websocket.app.state.channels
    if channels.n_open >= _MOST_CHANNELS:
        raise ResourceError("too many event channels are open; close some, or ask again later")
    channels.n_open += 1
    closed: asyncio.Task[None] | None = None
    try:
        channel = await run_in_threadpool(Channel, websocket.app.state.database, aetitle)
        await websocket.accept()
        closed = asyncio.create_task(_wait_until_closed(websocket))
        await _send_events(websocket, channel, closed)
    except WebSocketDisconnect:
        pass
    finally:
        channels.n_open -= 1
        if closed is not None:
            closed.cancel()


async def _send_events(websocket: WebSocket, channel: Channel, closed: "asyncio.Task[None]") -> None:
    n_looks = 0
    while not closed.done():
        try:
            events = await run_in_threadpool(channel.take)
            for event in events:
                await websocket.send_text(channel.write(event))
            if events:
                await run_in_threadpool(channel.confirm, events)
        except SQLAlchemyError as error:
            _log.warning("event channel: the database does not answer", error=type(error).__name__)
        n_looks += 1
        if n_looks % _CHECK_EVERY == 0 and not await run_in_threadpool(_may_listen, websocket):
            await websocket.close(_POLICY_VIOLATION)
            return
        await asyncio.wait({closed}, timeout=_POLL_S)


async def _wait_until_closed(websocket: WebSocket) -> None:
    """Read and drop what a client sends; it has nothing to say here."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def _may_listen(websocket: WebSocket) -> bool:
    """Whether the login still holds, and suffices."""
    gate: Gatekeeper = websocket.app.state.gate
    try:
        return gate.identify(websocket).role >= least_role("GET", DICOMWEB + CHANNEL)
    except HTTPException:
        return False
