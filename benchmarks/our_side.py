"""Our side in a process of its own, as `benchmarks.peer_side` is a peer: a slide and its tiles in, features out."""

import json
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

import numpy as np

from benchmarks.processes import peak_mb
from vst_dicom import __version__
from vst_dicom.domain.geometry import MatrixSize
from vst_dicom.predict.ahead import ahead
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.engine import EngineChoice, embed
from vst_dicom.predict.predictor import Predictor
from vst_dicom.slide.opening import open_slide
from vst_dicom.tiles.sampler import sample_tiles

_TILE_UM: Final = 112.0


def main() -> None:
    """``our_side.py ENGINE SLIDE TILES FEATURES``: print what it cost as JSON."""
    engine, slide_folder, tiles, features = sys.argv[1:]
    predictor = make_predictor("torch" if engine == "torch" else "openvino")
    given = np.load(tiles)
    side = round(_TILE_UM / float(given["spacing_um"]))
    corners_px = given["corners_px"]
    wall, cpu = perf_counter(), process_time()
    with open_slide([Path(slide_folder)]) as slide:
        batches = sample_tiles(slide, corners_px, MatrixSize(side, side), threads=1)
        found = embed(predictor.engine, ahead(batches), len(corners_px))
    wall, cpu = perf_counter() - wall, process_time() - cpu
    np.savez(features, features=found, corners_px=corners_px)
    cost = {"cpu_s": cpu, "wall_s": wall, "peak_mb": peak_mb(), "n_tiles": len(found), "version": __version__}
    print(json.dumps(cost))  # noqa: T201


def make_predictor(engine: EngineChoice) -> Predictor:
    """Put the shipped bundle on one thread of the CPU."""
    return Predictor(load_bundle(), engine=engine, device="cpu", threads=1)


if __name__ == "__main__":
    main()
