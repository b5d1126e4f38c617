"""Counts and places of spots from two tab-separated tables."""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.errors import InputError, MissingInputError
from vst_dicom.training.counts import CountedSpots, check_counts


def read_tables(counts_file: Path, spots_file: Path, genes: Sequence[str], section_id: str) -> CountedSpots:
    """Join counts and places on the array position.

    Parameters
    ----------
    counts_file
        ``.gz`` or not: header of gene symbols, then per spot its key ``XxY`` and raw counts.
    spots_file
        Columns ``x``, ``y`` (array position), ``pixel_x``, ``pixel_y``; rows with 0 in a column ``selected`` are left
        out.
    genes
        Symbols wanted.
    section_id
        For messages.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputError
        If a file has another form, or no spot has both.
    """
    symbols, counts_by_key = _read_counts(counts_file)
    places = _read_places(spots_file)
    keys = tuple(key for key in places if key in counts_by_key and counts_by_key[key].sum() > 0)
    if not keys:
        msg = f"section {section_id}: no spot has both a place and counts; the keys of the counts must read 'XxY'"
        raise InputError(msg)
    counts = np.stack([counts_by_key[key] for key in keys])
    column_of = {symbol: column for column, symbol in enumerate(symbols)}
    chosen = np.zeros((len(keys), len(genes)), dtype=np.float64)
    for position, symbol in enumerate(genes):
        if symbol in column_of:
            chosen[:, position] = counts[:, column_of[symbol]]
    return CountedSpots(
        keys=keys,
        centers_px=np.array([places[key] for key in keys]),
        chosen=chosen,
        total_counts=counts.sum(axis=1),
        listed=column_of.keys() & set(genes),
        dropped=len(set(places) | set(counts_by_key)) - len(keys),
    )


def _open_text(path: Path) -> list[str]:
    """Lines of a text file, packed or not."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    except FileNotFoundError as error:
        msg = f"there is no {path}; give the folder of the data with --data"
        raise MissingInputError(msg) from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise InputError(msg) from error


def _read_counts(path: Path) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    """Gene symbols, and raw counts by key of the spot."""
    lines = _open_text(path)
    symbols = lines[0].split("\t")[1:] if lines else []
    if not symbols or len(set(symbols)) < len(symbols):
        msg = f"{path}: the first line must be a tab, then gene symbols, each once"
        raise InputError(msg)
    counts: dict[str, NDArray[np.float64]] = {}
    for number, line in enumerate(lines[1:], start=2):
        key, _, values = line.partition("\t")
        try:
            row = np.array(values.split("\t"), dtype=np.float64)
        except ValueError:
            row = np.empty(0)
        where = f"{path}, line {number}"
        if len(row) != len(symbols):
            msg = f"{where}: expected {len(symbols)} counts"
            raise InputError(msg)
        check_counts(row, where)
        if key in counts:
            msg = f"{where}: the spot {key} occurs twice"
            raise InputError(msg)
        counts[key] = row
    return symbols, counts


def _read_places(path: Path) -> dict[str, tuple[float, float]]:
    """Center in the image by key of the spot."""
    places: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(csv.DictReader(_open_text(path), delimiter="\t"), start=2):
        try:
            place = float(row["pixel_x"]), float(row["pixel_y"])
            key = f"{row['x']}x{row['y']}"
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{path}, line {number}: needs numbers in the columns x, y, pixel_x and pixel_y"
            raise InputError(msg) from error
        if row.get("selected", "1") == "0" or not np.isfinite(place).all():
            continue
        if key in places:
            msg = f"{path}, line {number}: the spot {key} occurs twice"
            raise InputError(msg)
        places[key] = place
    return places
