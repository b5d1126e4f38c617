"""Events: what changes about slides reaches everyone who listens, once, and nothing is lost to who comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.jobs.ledgers import add_job, job_of
from tests.service.served import Site
from vst_dicom.domain.errors import ResourceError
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.jobs import report_progress, start_attempt
from vst_dicom.runtime.orders import cancel_jobs
from vst_dicom.service import events
from vst_dicom.service.events import Listener, SlideEvent, SlideFeed

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(f"sqlite:///{tmp_path / 'vst.sqlite'}")
    yield made
    made.dispose()


def report(database: Engine, key: str, progress: float) -> None:
    with database.begin() as connection:
        job = start_attempt(connection, key, 0, NOW)
        assert job is not None
        report_progress(connection, job, "predict", progress)


def cancel(database: Engine, key: str) -> None:
    job = job_of(database, key)
    with database.begin() as connection:
        cancel_jobs(connection, [job], NOW)


async def take(listener: Listener, count: int) -> list[SlideEvent]:
    async def read() -> AsyncIterator[SlideEvent]:
        async for event in listener.events():
            yield event

    found: list[SlideEvent] = []
    async with asyncio.timeout(10):
        async for event in read():
            found.append(event)
            if len(found) == count:
                break
    return found


def facts(event: SlideEvent) -> tuple[str, float]:
    job = json.loads(event.slide)["job"]
    return job["state"], job["progress"]


def test_progress_reaches_everyone_who_listens(database: Engine) -> None:
    key = add_job(database, "a")

    async def scenario() -> list[list[SlideEvent]]:
        feed = SlideFeed(database, poll_s=0.02)
        async with feed.listen() as one, feed.listen() as other:
            await asyncio.to_thread(report, database, key, 0.5)
            return [await take(listener, 1) for listener in (one, other)]

    (one,), (other,) = asyncio.run(scenario())

    assert facts(one) == ("running", 0.5)
    assert one == other


def test_the_ledger_is_asked_once_for_all(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    add_job(database, "a")
    looks = []
    look = SlideFeed._look

    def counted(feed: SlideFeed, **options: Any) -> list[str]:
        looks.append(1)
        return look(feed, **options)

    monkeypatch.setattr(SlideFeed, "_look", counted)

    async def scenario() -> None:
        feed = SlideFeed(database, poll_s=60)
        async with feed.listen(), feed.listen(), feed.listen():
            pass

    asyncio.run(scenario())

    assert len(looks) == 1


def test_who_comes_back_gets_what_it_missed(database: Engine) -> None:
    key = add_job(database, "a")

    async def scenario() -> tuple[SlideEvent, list[SlideEvent]]:
        feed = SlideFeed(database, poll_s=0.02)
        async with feed.listen() as stays:
            async with feed.listen() as goes:
                await asyncio.to_thread(report, database, key, 0.25)
                (seen,) = await take(goes, 1)
            await asyncio.to_thread(cancel, database, key)
            await take(stays, 2)
            async with feed.listen(seen.event_id) as back:
                assert not back.is_lost
                return seen, await take(back, 1)

    seen, (missed,) = asyncio.run(scenario())

    assert (facts(seen), facts(missed)[0]) == (("running", 0.25), "cancelled")


@pytest.mark.parametrize("last", ["x", "00000000-5", "-", "00000000-99999999999999999999999"])
def test_who_missed_more_than_is_remembered_is_told(database: Engine, last: str) -> None:
    async def scenario() -> bool:
        async with SlideFeed(database).listen(last) as listener:
            return listener.is_lost

    assert asyncio.run(scenario())


def test_who_does_not_read_is_cut_off(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST_UNREAD", 1)
    key = add_job(database, "a")

    async def scenario() -> list[SlideEvent]:
        feed = SlideFeed(database, poll_s=0.02)
        async with feed.listen() as idle:
            for progress in (0.1, 0.2, 0.3):
                await asyncio.to_thread(report, database, key, progress)
                await asyncio.sleep(0.2)
            return [event async for event in idle.events()]

    assert asyncio.run(scenario()) == []


def test_too_many_clients_are_refused(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST_CLIENTS", 1)

    async def scenario() -> None:
        feed = SlideFeed(database)
        async with feed.listen():
            with pytest.raises(ResourceError):
                await feed.listen().__aenter__()

    asyncio.run(scenario())


def test_a_stopping_server_ends_its_streams(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    key = add_job(site.database, "a" * 64)

    with site.serving() as web:
        stream = web.get("/api/v1/events", "text/event-stream", stream=True)
        report(site.database, key, 0.5)
        lines = stream.iter_lines(decode_unicode=True)
        event = [next(lines) for _ in range(3)]
    site.database.dispose()

    assert stream.headers["Content-Type"].startswith("text/event-stream")
    fields = dict(line.split(": ", 1) for line in event)
    assert fields["event"] == "slide"
    assert json.loads(fields["data"])["job"]["progress"] == 0.5
    assert "-1" in fields["id"]
    assert list(lines) == [""]
