"""What an encoder on a device looks like to those who feed it tiles; which library computes is decided elsewhere.

::

    Engine     gives features of any number of tiles, and goes on in a smaller way when memory runs out
    └── Runner     one network on one device: takes a batch, answers later
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.engine import EngineFacts, EngineName, Precision
from vst_dicom.domain.tiles import TileBatch

Device = Literal["auto", "cpu", "cuda"]
EngineChoice = Literal["auto", "torch", "openvino"]
PrecisionChoice = Literal["auto", "fp32", "fp16", "bf16"]
Progress = Callable[[int, int], None]
"""Called with tiles done and tiles in all."""

Features = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Indices of tiles, shape ``(n,)``, and what the encoder makes of them, shape ``(n, embed_dim)``."""

Answer = Callable[[], NDArray[np.float32]]
"""Waits for the features of a batch, shape ``(n, embed_dim)``, and gives them."""


class DeviceMemoryError(Exception):
    """The memory of a device does not suffice for a batch of this size; an engine goes on in a smaller way."""


class Computing(Protocol):
    """With what something computes."""

    @property
    def name(self) -> EngineName:
        """Library that computes."""
        ...

    @property
    def device_name(self) -> str:
        """Where, for people: ``cpu (2 threads)``, or the name of the accelerator."""
        ...

    @property
    def precision(self) -> Precision:
        """Arithmetic."""
        ...


class Runner(Computing, Protocol):
    """A network on one device."""

    @property
    def in_flight(self) -> int:
        """Batches that it may have in work before the oldest answer must be fetched."""
        ...

    def start(self, images: NDArray[np.uint8]) -> Answer:
        """Begin a batch, shape ``(n, rows, columns, 3)``; the images stay as they are until the answer is fetched.

        Answers are fetched in the order of the starts.

        Raises
        ------
        DeviceMemoryError
            If memory does not suffice, here or when the answer is fetched.
        """
        ...

    def free_memory(self) -> None:
        """Give back what was kept for batches of the size so far; no answer is outstanding."""
        ...


class Engine(Computing, Protocol):
    """An encoder, ready to work."""

    @property
    def batch_size(self) -> int:
        """Most tiles that go through the network at once; may shrink while it works."""
        ...

    @property
    def embed_dim(self) -> int:
        """Features per tile."""
        ...

    @property
    def facts(self) -> EngineFacts:
        """What a result says about it."""
        ...

    def stream(self, batches: Iterable[TileBatch]) -> Iterator[Features]:
        """Features of tiles, part by part.

        A batch is taken only when a device has room for it, and a part is given as soon as it is done; while a
        device works on one batch the next may be read. Parts need be neither whole batches nor in their order. The
        pixels of a batch stay as they are until its features have come.

        Raises
        ------
        ResourceError
            If memory does not suffice for a single tile.
        """
        ...


def embed(
    engine: Engine, batches: Iterable[TileBatch], n_tiles: int, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Features of all tiles of a grid, together.

    Parameters
    ----------
    engine
        Computes them.
    batches
        Tiles in any order; each index from 0 to ``n_tiles - 1`` exactly once.
    n_tiles
        How many tiles there are in all.
    progress
        Called after every part.

    Returns
    -------
    NDArray[np.float32]
        Shape ``(n_tiles, embed_dim)``, rows in the order of the indices.

    Raises
    ------
    ResourceError
        If memory does not suffice for a single tile.
    ValueError
        If a tile is missing, comes twice or lies outside.
    """
    embeddings = np.empty((n_tiles, engine.embed_dim), dtype=np.float32)
    n_done = 0
    for indices, features in engine.stream(each_once(batches, n_tiles)):
        embeddings[indices] = features
        n_done += len(indices)
        if progress is not None:
            progress(n_done, n_tiles)
    return embeddings


def each_once(batches: Iterable[TileBatch], n_tiles: int) -> Iterator[TileBatch]:
    """Pass batches on, and see that they hold each tile of a grid exactly once.

    Raises
    ------
    ValueError
        If a tile comes twice or lies outside, or after the last batch if one is missing.
    """
    seen = np.zeros(n_tiles, dtype=np.bool_)
    for batch in batches:
        if len(batch.indices) and (batch.indices.min() < 0 or batch.indices.max() >= n_tiles):
            raise ValueError("a tile's index lies outside the grid")
        if seen[batch.indices].any() or len(np.unique(batch.indices)) < len(batch.indices):
            raise ValueError("a tile came twice")
        seen[batch.indices] = True
        yield batch
    if not seen.all():
        msg = f"{n_tiles - int(seen.sum())} of {n_tiles} tiles never came"
        raise ValueError(msg)
