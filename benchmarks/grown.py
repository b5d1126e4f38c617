"""One point of a cost curve, in a process of its own: a made-up slide through the whole main path, no network."""

import json
import sys
import tempfile
import threading
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Final

from benchmarks.processes import memory_mb, peak_mb
from benchmarks.stand_ins import make_predictor, make_slide
from vst_dicom.pipeline.process_slide import Choices, process_slide

_LOOK_S: Final = 0.02
"""Between two looks at the memory."""


def main() -> None:
    """``grown.py N_TILES N_GENES``: print time and memory, in all and of each stage, as JSON."""
    n_tiles, n_genes = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        slide, predictor = make_slide(Path(folder), n_tiles), make_predictor(n_genes, n_tiles)
        watch = StageWatch()
        before_mb, wall, cpu = memory_mb_now(), perf_counter(), process_time()
        out = Path(folder) / "out"
        outcome = process_slide(
            slide, predictor, out, choices=Choices(), now=datetime(2026, 1, 1, tzinfo=UTC), progress=watch.progress
        )
        wall, cpu = perf_counter() - wall, process_time() - cpu
        watch.stop()
        found = {
            "n_tiles": len(outcome.result.grid),
            "n_genes": len(outcome.result.expression.genes),
            "n_hotspots": len(outcome.result.hotspots),
            "side_px": slide.levels[0].size.n_rows,
            "cpu_s": cpu,
            "wall_s": wall,
            "before_mb": before_mb,
            "peak_mb": peak_mb(),
            "stages": {
                name: {"cpu_s": cpu_s, "wall_s": watch.wall_s[name], "peak_mb": watch.peak_mb[name]}
                for name, cpu_s in watch.cpu_s.items()
            },
            "result_mb": sum(path.stat().st_size for path in out.iterdir()) / 1e6,
        }
    print(json.dumps(found))  # noqa: T201


class StageWatch:
    """Time of each stage, from when it begins until the next one does, and the most memory in it."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = defaultdict(float)
        self.wall_s: dict[str, float] = defaultdict(float)
        self.peak_mb: dict[str, float] = defaultdict(float)
        self._stage, self._since = "tissue", (process_time(), perf_counter())
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def progress(self, stage: str, _done: int, _total: int) -> None:
        """Told by the main path how far it is."""
        now = process_time(), perf_counter()
        self.cpu_s[self._stage] += now[0] - self._since[0]
        self.wall_s[self._stage] += now[1] - self._since[1]
        self._stage, self._since = stage, now

    def stop(self) -> None:
        """No stage goes on."""
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.is_set():
            self.peak_mb[self._stage] = max(self.peak_mb[self._stage], memory_mb_now())
            sleep(_LOOK_S)


def memory_mb_now() -> float:
    """Resident memory of this process."""
    return memory_mb("self")["now"]


if __name__ == "__main__":
    main()
