"""The parts of ``make bench``: what each is called, and what measures it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.figures import Figures


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured.

    Parameters
    ----------
    folder
        For slides and whatever else a part writes; each part has its own.
    rounds
        How often each pair is measured.
    quick
        Whether small inputs do, to see that a part runs.
    figures
        Takes what the cost model is made of.
    """

    folder: Path
    rounds: int
    quick: bool
    figures: Figures


@dataclass(frozen=True, slots=True)
class Part:
    """One section of the table.

    Parameters
    ----------
    title
        Its heading.
    measure
        Gives its lines.
    """

    title: str
    measure: Callable[[Options], Iterator[str]]


def _receive(options: Options) -> Iterator[str]:
    from benchmarks.receive import receive_lines

    return receive_lines(options.folder, options.rounds, 50_000_000 if options.quick else 1 << 30)


def _associations(options: Options) -> Iterator[str]:
    from benchmarks.receive import association_lines

    return association_lines(options.folder, n_bytes=2_000_000 if options.quick else 50_000_000)


def _read(options: Options) -> Iterator[str]:
    from benchmarks.reading import reading_lines

    return reading_lines(options.folder, options.rounds, 2048 if options.quick else 12_288)


def _predict(options: Options) -> Iterator[str]:
    from benchmarks.predicting import predict_lines

    side_um, n_tiles = (768.0, 32) if options.quick else (2560.0, 256)
    return predict_lines(options.folder, options.rounds, side_um, options.figures, n_tiles)


def _whole(options: Options) -> Iterator[str]:
    from benchmarks.peers import peer_lines

    return peer_lines(options.folder, options.rounds, 4096 if options.quick else 8192)


def _encode(options: Options) -> Iterator[str]:
    from benchmarks.encoding import encode_lines

    n_genes, side = (10, 50) if options.quick else (250, 350)
    return encode_lines(options.folder, options.rounds, n_genes, side)


def _frames(options: Options) -> Iterator[str]:
    from benchmarks.frames import frame_lines

    return frame_lines(options.folder, options.rounds)


def _tiles(options: Options) -> Iterator[str]:
    from benchmarks.growth import tile_lines

    return tile_lines(options.figures, (300, 1_000)) if options.quick else tile_lines(options.figures)


def _genes(options: Options) -> Iterator[str]:
    from benchmarks.growth import gene_lines

    return gene_lines((1, 10), 1_000) if options.quick else gene_lines()


def _sizes(options: Options) -> Iterator[str]:
    from benchmarks.sizes import size_lines

    return size_lines(options.folder, (4_000, 8_000), None) if options.quick else size_lines(options.folder)


def _start(options: Options) -> Iterator[str]:
    from benchmarks.start import start_lines

    return start_lines(options.rounds)


def _model(options: Options) -> Iterator[str]:
    from benchmarks.flops import transformer_gigaflops

    options.figures["transformer_gflops"] = found = transformer_gigaflops(options.rounds)
    yield f"A vision transformer (h0-mini, random weights, torch, fp32, all threads) does {found:.0f} GFLOP/s here; "
    yield "seconds per slide for each encoder stand in [`docs/performance.md`](../docs/performance.md)."


PARTS: Final[dict[str, Part]] = {
    "receive": Part("Receive", _receive),
    "associations": Part("Receive over several associations", _associations),
    "read": Part("Read", _read),
    "predict": Part("Predict", _predict),
    "whole": Part("Whole slide beside peers", _whole),
    "encode": Part("Encode", _encode),
    "frames": Part("Frames by DICOMweb", _frames),
    "tiles": Part("Cost over the number of tiles", _tiles),
    "genes": Part("Cost over the number of genes", _genes),
    "sizes": Part("Cost over the size of the slide", _sizes),
    "start": Part("Start", _start),
    "model": Part("Seconds per slide", _model),
}
"""In the order of the table."""
