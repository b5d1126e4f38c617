"""Paired data: sections of tissue with an image, counted transcripts and the place of every spot."""

import csv
import gzip
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from vst_dicom.domain.errors import InputError, MissingInputError

Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]

COUNTS_PER_SPOT: Final = 10_000
"""Counts of a spot are scaled to this sum before the logarithm."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(_Part):
    """One section of tissue; paths are relative to the cohort's data folder."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    patient: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    """Pseudonym of the cohort; it goes into the bundle."""
    site: Text = "not stated"
    image: Path
    """DICOM folder or file, a vendor's slide file, or a plain image."""
    pixel_spacing_um: Annotated[float, Field(gt=0, le=10)] | None = None
    """For an image that does not say its own."""
    counts: Path
    """Tab-separated, ``.gz`` or not: header of gene symbols, then per spot its key and raw counts."""
    spots: Path
    """Tab-separated with columns ``x``, ``y`` (array position), ``pixel_x``, ``pixel_y`` (center in the image)."""


class Cohort(_Part):
    """A cohort file.

    Patients in `fit_patients` give the head of the bundle; all others only test it.
    """

    name: Text
    doi: Text
    license: Text
    source: Text
    organ: Text
    species: Text = "Homo sapiens"
    stain: Text = "hematoxylin and eosin"
    specimen: Text
    library: Text
    spot_um: Annotated[float, Field(gt=0)]
    fit_patients: tuple[str, ...] = ()
    section: Annotated[tuple[Section, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        identifiers = [section.id for section in self.section]
        if len(set(identifiers)) < len(identifiers):
            raise ValueError("section: an id occurs twice")
        unknown = set(self.fit_patients) - {section.patient for section in self.section}
        if unknown:
            msg = f"fit_patients: {sorted(unknown)[0]} has no section"
            raise ValueError(msg)
        return self

    @property
    def patients(self) -> tuple[str, ...]:
        """All patients, in order of appearance."""
        return tuple(dict.fromkeys(section.patient for section in self.section))

    @property
    def fitted_patients(self) -> tuple[str, ...]:
        """Patients whose spots give the head; all where the file names none."""
        return self.fit_patients or self.patients


@dataclass(frozen=True, eq=False)
class MeasuredSpots:
    """Spots of a section that have both a place and counts.

    Parameters
    ----------
    keys
        Array position of each spot as text, such as ``10x21``.
    centers_px
        x, y in the image, pixel centers at whole numbers, shape ``(n_spots, 2)``.
    expression
        ln(1 + CP10k) of the panel, shape ``(n_spots, n_genes)``; 0 for a gene that the file does not list, since
        files leave out what was never counted.
    markers
        The same of the marker genes, shape ``(n_spots, n_markers)``.
    total_counts
        Raw counts of all genes, shape ``(n_spots,)``.
    absent
        Genes of the panel that the file does not list.
    dropped
        How many rows had only a place, only counts, or no count at all.
    """

    keys: tuple[str, ...]
    centers_px: NDArray[np.float64]
    expression: NDArray[np.float32]
    markers: NDArray[np.float32]
    total_counts: NDArray[np.float64]
    absent: tuple[str, ...]
    dropped: int


def read_cohort(path: Path) -> Cohort:
    """Read a cohort file.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputError
        If it is not TOML or a key is unknown, missing or wrong; the message names the first such keys.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"there is no cohort file {path}"
        raise MissingInputError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        msg = f"{path} is not a TOML file: {error}"
        raise InputError(msg) from error
    try:
        return Cohort.model_validate(table)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        named = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'cohort'}: {p['msg']}" for p in problems[:5])
        msg = f"{path} is refused: {named}"
        raise InputError(msg) from None


def read_spots(section: Section, data_folder: Path, panel: Sequence[str], markers: Sequence[str] = ()) -> MeasuredSpots:
    """Read counts and places of a section and join them.

    Parameters
    ----------
    section, data_folder
        What to read.
    panel, markers
        Symbols of the genes to predict, and of those that tell kinds of tissue apart.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputError
        If a file has another form, or no spot has both.
    """
    symbols, counts_by_key = _read_counts(data_folder / section.counts)
    places = _read_places(data_folder / section.spots)
    keys = tuple(key for key in places if key in counts_by_key and counts_by_key[key].sum() > 0)
    if not keys:
        msg = f"section {section.id}: no spot has both a place and counts; the keys of the counts must read 'XxY'"
        raise InputError(msg)
    counts = np.stack([counts_by_key[key] for key in keys])
    column_of = {symbol: column for column, symbol in enumerate(symbols)}
    total_counts = counts.sum(axis=1)
    return MeasuredSpots(
        keys=keys,
        centers_px=np.array([places[key] for key in keys]),
        expression=_normalize(counts, column_of, panel),
        markers=_normalize(counts, column_of, markers),
        total_counts=total_counts,
        absent=tuple(symbol for symbol in panel if symbol not in column_of),
        dropped=len(set(places) | set(counts_by_key)) - len(keys),
    )


def _normalize(
    counts: NDArray[np.float64], column_of: Mapping[str, int], symbols: Sequence[str]
) -> NDArray[np.float32]:
    """ln(1 + CP10k) of some genes, shape ``(n_spots, n_symbols)``; 0 for a gene without a column."""
    chosen = np.zeros((len(counts), len(symbols)), dtype=np.float64)
    for position, symbol in enumerate(symbols):
        if symbol in column_of:
            chosen[:, position] = counts[:, column_of[symbol]]
    return np.log1p(chosen / counts.sum(axis=1, keepdims=True) * COUNTS_PER_SPOT).astype(np.float32)


def hash_inputs(cohort: Cohort, data_folder: Path) -> str:
    """Hash over section ids and the hashes of all input files, in the order of the cohort."""
    digest = hashlib.sha256()
    for section in cohort.section:
        for relative in (section.image, section.counts, section.spots):
            digest.update(f"{section.id}\x1f{hash_path(data_folder / relative)}\n".encode())
    return digest.hexdigest()


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder by their names."""
    if not path.exists():
        msg = f"there is no {path}; give the folder of the data with --data"
        raise MissingInputError(msg)
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            if path.is_dir():
                digest.update(file.relative_to(path).as_posix().encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


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
    counts = {}
    for number, line in enumerate(lines[1:], start=2):
        key, _, values = line.partition("\t")
        try:
            row = np.array(values.split("\t"), dtype=np.float64)
        except ValueError:
            row = np.empty(0)
        if len(row) != len(symbols) or not np.isfinite(row).all() or (row < 0).any():
            msg = f"{path}, line {number}: expected {len(symbols)} counts, finite and not negative"
            raise InputError(msg)
        counts[key] = row
    return symbols, counts


def _read_places(path: Path) -> dict[str, tuple[float, float]]:
    """Center in the image by key of the spot."""
    places = {}
    for number, row in enumerate(csv.DictReader(_open_text(path), delimiter="\t"), start=2):
        try:
            place = float(row["pixel_x"]), float(row["pixel_y"])
            key = f"{row['x']}x{row['y']}"
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{path}, line {number}: needs numbers in the columns x, y, pixel_x and pixel_y"
            raise InputError(msg) from error
        if row.get("selected", "1") != "0" and np.isfinite(place).all():
            places[key] = place
    return places
