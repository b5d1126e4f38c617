"""An encoder on the CPU, computed by openvino."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.engine import EngineName, Precision
from vst_dicom.predict.engine import Answer, DeviceMemoryError
from vst_dicom.predict.openvino_library import import_openvino

_MOST_STREAMS: Final = 4
"""Batches that are computed beside each other, each by its share of the threads: 13 % less CPU time per tile than all
threads on one batch (EfficientNet-Lite0, two threads). Each takes memory for itself."""

_HINTS: Final[dict[Precision, str]] = {"fp32": "f32", "bf16": "bf16"}


class OpenvinoRunner:
    """A graph on the CPU.

    Parameters
    ----------
    graph
        See `vst_dicom.predict.exported_graph`.
    precision
        fp32, or bf16 where the CPU multiplies it by itself, see `vst_dicom.predict.openvino_library.has_bf16`.
    threads
        CPU threads; None takes every core that this process may use.

    Raises
    ------
    UsageError
        If openvino is missing.
    DeviceMemoryError
        If memory does not hold the network.
    """

    name: Final[EngineName] = "openvino"

    def __init__(self, graph: Any, precision: Precision = "fp32", threads: int | None = None) -> None:
        openvino = import_openvino()
        self._tensor = openvino.Tensor
        self.precision: Precision = precision
        self.threads = threads or len(os.sched_getaffinity(0))
        n_streams = min(self.threads, _MOST_STREAMS)
        self.in_flight = n_streams + 1
        config = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": n_streams,
        }
        with _within_memory():
            compiled = openvino.Core().compile_model(graph, "CPU", config)
            self._requests = [compiled.create_infer_request() for _ in range(self.in_flight)]
        self._pixels: list[Any] = [None] * self.in_flight
        """What each request reads, kept until it is done: its memory may be used again by those who made it."""
        self._next = 0

    @property
    def device_name(self) -> str:
        """See `vst_dicom.predict.engine.Runner`."""
        return f"cpu ({self.threads} threads)"

    def start(self, images: NDArray[np.uint8]) -> Answer:
        """Begin a batch and return before it is done; see `vst_dicom.predict.engine.Runner`."""
        turn = self._next
        self._next = (turn + 1) % len(self._requests)
        request = self._requests[turn]
        with _within_memory():
            request.wait()  # an answer that nobody fetched
            self._pixels[turn] = np.ascontiguousarray(images)
            request.set_input_tensor(self._tensor(self._pixels[turn], shared_memory=True))
            request.start_async()

        def answer() -> NDArray[np.float32]:
            with _within_memory():
                request.wait()
            self._pixels[turn] = None
            return np.array(request.get_output_tensor().data, dtype=np.float32)

        return answer

    def free_memory(self) -> None:
        """Nothing that could be given back without losing the graph."""


@contextmanager
def _within_memory() -> Iterator[None]:
    """Tell a lack of memory from other failures; the library may say so in words only."""
    try:
        yield
    except MemoryError as error:
        raise DeviceMemoryError(str(error)) from error
    except RuntimeError as error:
        if "bad_alloc" in str(error):
            raise DeviceMemoryError(str(error)) from error
        raise
