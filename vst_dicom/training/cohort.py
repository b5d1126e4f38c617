"""Paired data: sections of tissue with an image, counted transcripts and the place of every spot."""

import hashlib
import json
import math
import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from vst_dicom.domain.errors import InputError, MissingInputError
from vst_dicom.training.spot_anndata import read_uns

LARGEST_SPACING_UM: Final = 10.0

HEST_PIXEL_SIZE: Final = "pixel_size_um_estimated"
"""Key of HEST for the pixel size of an image, in its metadata files and in ``uns``."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]


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
    pixel_spacing_um: Annotated[float, Field(gt=0, le=LARGEST_SPACING_UM)] | None = None
    """For an image that does not say its own, or says it wrongly."""
    metadata: Path | None = None
    """HEST's metadata, JSON; its pixel size goes before the image's own."""
    counts: Path | None = None
    """Tab-separated, ``.gz`` or not: header of gene symbols, then per spot its key and raw counts."""
    spots: Path | None = None
    """Tab-separated with columns ``x``, ``y`` (array position), ``pixel_x``, ``pixel_y`` (center in the image)."""
    h5ad: Path | None = None
    """AnnData with raw counts and places, instead of `counts` and `spots`; see `training.spot_anndata`."""

    @model_validator(mode="after")
    def _counts_come_from_one_place(self) -> Self:
        tables = (self.counts is not None) + (self.spots is not None)
        if tables != (0 if self.h5ad is not None else 2):
            raise ValueError("give either h5ad, or both counts and spots")
        return self

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files and folders that it is made of, relative to the data folder."""
        files = (self.image, self.counts, self.spots, self.h5ad, self.metadata)
        return tuple(file for file in files if file is not None)


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


def stated_spacing_um(section: Section, data_folder: Path) -> float | None:
    """Pixel size of a section's image as the cohort, HEST's metadata or the AnnData file states it, in that order.

    Returns
    -------
    float or None
        Micrometers; None leaves it to the image.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputError
        If a file has another form, or the pixel size in it is impossible.
    """
    stated: object = section.pixel_spacing_um
    if stated is None and section.metadata is not None:
        stated = _read_metadata(data_folder / section.metadata).get(HEST_PIXEL_SIZE)
    if stated is None and section.h5ad is not None:
        stated = read_uns(data_folder / section.h5ad, HEST_PIXEL_SIZE)
    if stated is None:
        return None
    try:
        spacing_um = float(str(stated))
    except ValueError:
        spacing_um = math.nan
    if not 0 < spacing_um <= LARGEST_SPACING_UM:
        msg = (
            f"section {section.id}: {HEST_PIXEL_SIZE} is {stated!r}, not a number of micrometers up to "
            f"{LARGEST_SPACING_UM:g}; give pixel_spacing_um in the cohort file"
        )
        raise InputError(msg)
    return spacing_um


def _read_metadata(path: Path) -> dict[str, object]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"there is no {path}; give the folder of the data with --data"
        raise MissingInputError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{path} is not a JSON file: {error}"
        raise InputError(msg) from error
    if not isinstance(facts, dict):
        msg = f"{path} must hold names and values, as the metadata of HEST do"
        raise InputError(msg)
    return facts


def hash_inputs(cohort: Cohort, data_folder: Path) -> str:
    """Hash over section ids and the hashes of all input files, in the order of the cohort."""
    digest = hashlib.sha256()
    for section in cohort.section:
        for relative in section.inputs:
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
