"""An engine of one or several runners, which goes on in a smaller way when memory runs out.

First the batch is halved, down to one tile; then the next rung is tried, arithmetic of half the width or the CPU;
below the last rung the work ends with a `ResourceError`, and a job waits for better times.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import structlog
from numpy.typing import NDArray

from vst_dicom.domain.engine import EngineFacts, EngineName, Precision
from vst_dicom.domain.errors import BundleError, ResourceError, UsageError
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.engine import Answer, DeviceMemoryError, Features, Runner

_log = structlog.get_logger(__name__)

_Images = tuple[NDArray[np.int64], NDArray[np.uint8]]
"""Indices of tiles and their pixels."""


@dataclass(frozen=True)
class Rung:
    """A way to compute.

    Parameters
    ----------
    label
        For people: ``torch bf16 on cuda``.
    open
        Puts the network on its devices, one runner each, and sees that they answer rightly. It raises BundleError
        where they do not, and DeviceMemoryError where they cannot hold it.
    """

    label: str
    open: Callable[[], Sequence[Runner]]


class LadderEngine:
    """An encoder on the highest rung that memory allows.

    Parameters
    ----------
    rungs
        Ways to compute, the one that was chosen first; the first is opened at once.
    embed_dim
        Features per tile.
    batch_size
        Most tiles that go through a network at once.
    probe_ms
        What was measured before the choice, see `vst_dicom.domain.engine.EngineFacts`.

    Raises
    ------
    BundleError
        If the first rung does not answer rightly.
    ResourceError
        If no rung can hold the network.
    UsageError
        If `batch_size` is less than 1.
    """

    def __init__(
        self, rungs: Sequence[Rung], embed_dim: int, batch_size: int, probe_ms: dict[str, float] | None = None
    ) -> None:
        if batch_size < 1:
            raise UsageError("the batch size must be at least 1")
        self.embed_dim = embed_dim
        self.batch_size = self._wanted_batch_size = batch_size
        self._probe_ms = probe_ms or {}
        self._steps_down: list[str] = []
        self._lower = deque(rungs)
        self._runners: Sequence[Runner] = ()
        self._rung = self._lower.popleft()
        try:
            self._runners = self._rung.open()
        except DeviceMemoryError as error:
            self._descend(error)

    @property
    def name(self) -> EngineName:
        """See `vst_dicom.predict.engine.Engine`."""
        return self._runners[0].name

    @property
    def device_name(self) -> str:
        """See `vst_dicom.predict.engine.Engine`."""
        first, n_devices = self._runners[0].device_name, len(self._runners)
        return first if n_devices == 1 else f"{n_devices} × {first}"

    @property
    def precision(self) -> Precision:
        """See `vst_dicom.predict.engine.Engine`."""
        return self._runners[0].precision

    @property
    def facts(self) -> EngineFacts:
        """See `vst_dicom.predict.engine.Engine`."""
        return EngineFacts(
            self.name, self.device_name, self.precision, self.batch_size, self._probe_ms, tuple(self._steps_down)
        )

    def stream(self, batches: Iterable[TileBatch]) -> Iterator[Features]:
        """See `vst_dicom.predict.engine.Engine.stream`; several devices take turns."""
        source = iter(batches)
        waiting: deque[_Images] = deque()
        working: deque[tuple[_Images, Answer]] = deque()
        turns = cycle(self._runners)
        while True:
            fetched: _Images | None = None
            try:
                while len(working) < sum(runner.in_flight for runner in self._runners):
                    piece = self._next_piece(waiting, source)
                    if piece is None:
                        break
                    waiting.appendleft(piece)
                    working.append((piece, next(turns).start(piece[1])))
                    waiting.popleft()
                if not working:
                    return
                fetched, answer = working.popleft()
                features = answer()
            except DeviceMemoryError as error:
                _abandon(working, waiting)
                if fetched is not None:
                    waiting.appendleft(fetched)
                self._step_down(error)
                turns = cycle(self._runners)
                continue
            yield fetched[0], features

    def _next_piece(self, waiting: deque[_Images], source: Iterator[TileBatch]) -> _Images | None:
        """Give as many tiles as go through a network at once; None when there are no more."""
        while not waiting:
            batch = next(source, None)
            if batch is None:
                return None
            if len(batch.indices):
                waiting.append((batch.indices, batch.images))
        indices, images = waiting.popleft()
        if len(indices) > self.batch_size:
            waiting.appendleft((indices[self.batch_size :], images[self.batch_size :]))
        return indices[: self.batch_size], images[: self.batch_size]

    def _step_down(self, error: DeviceMemoryError) -> None:
        """Halve the batch, or take the next rung."""
        for runner in self._runners:
            runner.free_memory()
        if self.batch_size == 1:
            self._descend(error)
            return
        self.batch_size //= 2
        self._note(f"memory of {self.device_name} ran out: batches of {self.batch_size} tiles")

    def _descend(self, error: DeviceMemoryError) -> None:
        """Take the next rung that holds the network and answers rightly."""
        self._runners = ()  # frees its memory before the next takes some
        while self._lower:
            given_up, self._rung = self._rung, self._lower.popleft()
            try:
                self._runners = self._rung.open()
            except (BundleError, DeviceMemoryError) as problem:
                _log.warning("rung left out", rung=self._rung.label, problem=str(problem))
                self._rung = given_up
                continue
            self.batch_size = self._wanted_batch_size
            self._note(f"memory did not suffice for {given_up.label}: {self._rung.label}")
            return
        msg = (
            f"memory does not suffice for one tile with {self._rung.label}, and there is no smaller way; free memory "
            "or choose another device"
        )
        raise ResourceError(msg) from error

    def _note(self, step: str) -> None:
        """Keep the last size of batch and every change of rung."""
        if self._steps_down and "batches of" in self._steps_down[-1] and "batches of" in step:
            self._steps_down.pop()
        self._steps_down.append(step)
        _log.warning("memory ran out", step=step)


def _abandon(working: deque[tuple[_Images, Answer]], waiting: deque[_Images]) -> None:
    """Put batches back; their answers are awaited, since a device may still read their pixels."""
    for _, answer in working:
        with contextlib.suppress(DeviceMemoryError):
            answer()
    waiting.extendleft(piece for piece, _ in reversed(working))
    working.clear()
