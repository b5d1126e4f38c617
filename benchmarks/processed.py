"""A slide on disk through the whole main path with the default engine, in a process of its own."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.processes import peak_mb
from benchmarks.stand_ins import familiar
from vst_dicom.pipeline.process_slide import Choices, process_slide
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.predictor import Predictor
from vst_dicom.slide.opening import open_slide


def main() -> None:
    """``processed.py SLIDE OUT``: print time and memory as JSON."""
    slide_folder, out = map(Path, sys.argv[1:])
    predictor = Predictor(familiar(load_bundle()), device="cpu")
    wall, cpu = perf_counter(), process_time()
    with open_slide([slide_folder]) as slide:
        outcome = process_slide(
            slide,
            predictor,
            out,
            choices=Choices(),
            now=datetime(2026, 1, 1, tzinfo=UTC),
            progress=lambda _stage, _done, _total: None,
        )
    found = {
        "n_tiles": len(outcome.result.grid),
        "wall_s": perf_counter() - wall,
        "cpu_s": process_time() - cpu,
        "peak_mb": peak_mb(),
        "stages": {name: stage["seconds"] for name, stage in outcome.summary["stages"].items()},
    }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
