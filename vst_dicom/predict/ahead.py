"""Make the next items while the last ones are worked on."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

_Item = TypeVar("_Item")

_ITEMS_AHEAD: Final = 2
"""Enough that neither side waits for the other's short breaks; a batch of 32 tiles is 5 MB."""


class _End:
    """Says that no item is left."""


def ahead(items: Iterable[_Item], n_ahead: int = _ITEMS_AHEAD) -> Iterator[_Item]:
    """Pass items on that another thread makes, a few ahead of their use.

    Parameters
    ----------
    items
        Made one after the other, each in the other thread; what fails there is raised here, at its place.
    n_ahead
        Most items that wait.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        waiting: deque[Future[_Item | _End]] = deque()
        try:
            for _ in range(n_ahead):
                waiting.append(thread.submit(_take, iterator))
            while not isinstance(item := waiting.popleft().result(), _End):
                waiting.append(thread.submit(_take, iterator))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)
            if isinstance(iterator, Iterator) and hasattr(iterator, "close"):
                iterator.close()


def _take(iterator: Iterator[_Item]) -> _Item | _End:
    return next(iterator, _End())
