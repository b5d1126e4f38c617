"""Route of events: what changes about slides, as it happens."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from vst_dicom.service.addresses import API
from vst_dicom.service.events import Listener, SlideFeed

router: Final = APIRouter(prefix=API, tags=["Events"])

LastEventId = Annotated[str, Header(max_length=64, description="Of the last event that the client has")]


async def _listen(request: Request, last_event_id: LastEventId = "") -> AsyncIterator[Listener]:
    feed: SlideFeed = request.app.state.feed
    async with feed.listen(last_event_id) as listener:
        yield listener


@router.get("/events", response_class=EventSourceResponse)
async def follow_events(listener: Annotated[Listener, Depends(_listen)]) -> AsyncIterator[ServerSentEvent]:
    """Follow slides as they change (server-sent events).

    An event `slide` carries the slide as the list shows it. An event `reload` says that more was missed than is
    remembered: read the list anew. Nothing that changes after the stream is open is left out, so open it first.
    """
    if listener.is_lost:
        yield ServerSentEvent(event="reload", data={})
    async for event in listener.events():
        yield ServerSentEvent(event="slide", id=event.event_id, raw_data=event.slide)
