"""How long each stage takes, and how far it is."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

_Item = TypeVar("_Item")


class Stages:
    """Measures stages and tells their progress.

    Parameters
    ----------
    progress
        Told the stage, how much is done, and how much there is; one step where a stage has no finer count.
    """

    def __init__(self, progress: Callable[[str, int, int], None]) -> None:
        self._progress = progress
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time per stage, in the order in which they ended."""
        return dict(self._seconds)

    @contextmanager
    def measure(self, stage: str, total: int = 1) -> Iterator[Callable[[int, int], None]]:
        """Measure a stage; yields what to call with the steps done and in all."""
        self._progress(stage, 0, total)
        start = perf_counter()
        yield lambda done, of: self._progress(stage, done, of)
        self._add(stage, perf_counter() - start)
        self._progress(stage, total, total)

    def waiting(self, stage: str, items: Iterable[_Item]) -> Iterator[_Item]:
        """Pass items on, and measure how long their maker let the reader wait."""
        iterator = iter(items)
        while True:
            start = perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._add(stage, perf_counter() - start)
            yield item

    def _add(self, stage: str, seconds: float) -> None:
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
