"""What changes about slides, told to all who listen; the ledger is asked once for all of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

import structlog
from cachetools import LRUCache
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from vst_dicom.domain.errors import ResourceError
from vst_dicom.ledger.database import for_reading
from vst_dicom.ledger.worklist import last_decision, list_moving_slides, read_entries
from vst_dicom.service.worklist_models import SlideRead

_log = structlog.get_logger(__name__)

_MOST_CLIENTS: Final = 64
_MOST_UNREAD: Final = 256
"""Events that a client may be behind; who is slower is cut off, and resumes by Last-Event-ID."""

_REMEMBERED: Final = 1000
_KNOWN: Final = 4096
_WATCHED: Final = 200
"""Slides of each kind that one look compares."""

_LINGER_S: Final = 60.0
"""How long it goes on without clients, so that one that comes back has missed nothing."""


@dataclass(frozen=True, slots=True)
class SlideEvent:
    """A slide changed.

    Parameters
    ----------
    event_id
        By which a client resumes.
    slide
        As the list shows it, JSON.
    """

    event_id: str
    slide: str


class Listener:
    """One client's place in the feed.

    Parameters
    ----------
    missed
        What it missed since it was here last.
    is_lost
        Whether it missed more than is remembered: it must read the list anew.
    """

    def __init__(self, missed: list[SlideEvent], *, is_lost: bool) -> None:
        self.missed, self.is_lost = missed, is_lost
        self.queue: asyncio.Queue[SlideEvent | None] = asyncio.Queue(_MOST_UNREAD)

    def tell(self, event: SlideEvent | None) -> bool:
        """Put an event into its queue, None for the end; False if it does not keep up."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            return False
        return True

    def cut_off(self) -> None:
        """End it, whatever it has not read."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)

    async def events(self) -> AsyncIterator[SlideEvent]:
        """Wait for events until the feed ends."""
        for event in self.missed:
            yield event
        while (event_or_end := await self.queue.get()) is not None:
            yield event_or_end


class SlideFeed:
    """Looks at the ledger while somebody listens.

    Parameters
    ----------
    database
        The ledger; only read.
    poll_s
        How often to look.
    """

    def __init__(self, database: Engine, poll_s: float = 1.0) -> None:
        self._database = for_reading(database)
        self._poll_s = poll_s
        self._listeners: set[Listener] = set()
        self._recent: deque[SlideEvent] = deque(maxlen=_REMEMBERED)
        self._known: LRUCache[int, str] = LRUCache(_KNOWN)
        self._watched: set[int] = set()
        self._decision = 0
        self._epoch, self._count = "", 0
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def listen(self, last_event_id: str = "") -> AsyncIterator[Listener]:
        """Take part until the block ends; nothing that changes after this began is missed.

        Raises
        ------
        ResourceError
            If too many listen already.
        """
        if len(self._listeners) >= _MOST_CLIENTS:
            raise ResourceError("too many clients follow events; close some, or ask again later")
        async with self._starting:
            if self._task is None or self._task.done():
                await self._begin()
        missed = self._since(last_event_id) if last_event_id else []
        listener = Listener(missed or [], is_lost=missed is None)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End all streams, so that the server can stop; called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for listener in self._listeners:
            listener.cut_off()

    async def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._recent.clear()
        self._known.clear()
        self._watched = set()
        self._epoch, self._count = token_hex(4), 0
        await asyncio.to_thread(self._look, first=True)
        self._task = asyncio.create_task(self._run())

    def _since(self, last_event_id: str) -> list[SlideEvent] | None:
        """Find what came after an event; None if that is no longer known."""
        epoch, _, number = last_event_id.partition("-")
        if epoch != self._epoch or not number.isdecimal() or len(number) > 18:
            return None
        n_missed = self._count - int(number)
        if not 0 <= n_missed <= len(self._recent):
            return None
        return list(self._recent)[len(self._recent) - n_missed :]

    async def _run(self) -> None:
        idle_s = 0.0
        while idle_s < _LINGER_S:
            await asyncio.sleep(self._poll_s)
            idle_s = 0.0 if self._listeners else idle_s + self._poll_s
            try:
                changed = await asyncio.to_thread(self._look)
            except SQLAlchemyError as error:
                _log.warning("events: the database does not answer", error=type(error).__name__)
                continue
            for slide in changed:
                self._count += 1
                self._tell(SlideEvent(f"{self._epoch}-{self._count}", slide))

    def _tell(self, event: SlideEvent) -> None:
        self._recent.append(event)
        for listener in tuple(self._listeners):
            if not listener.tell(event):
                listener.cut_off()
                self._listeners.discard(listener)

    def _look(self, *, first: bool = False) -> list[str]:
        """Compare slides that may have moved with how they were told before."""
        with self._database.begin() as connection:
            if first:
                self._decision = last_decision(connection)
            moving, self._decision = list_moving_slides(connection, after_decision=self._decision, most=_WATCHED)
            entries = read_entries(connection, moving | self._watched)
        self._watched = moving
        changed = []
        for entry in entries:
            slide = SlideRead.of(entry).model_dump_json()
            if self._known.get(entry.slide.id) != slide:
                changed.append(slide)
            self._known[entry.slide.id] = slide
        return changed
