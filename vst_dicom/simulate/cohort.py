"""Simulated cohorts: painted slides of several patients with counted transcripts whose truth is known.

What a model can learn is the same as in life: genes follow the cells that are painted, each patient has a stain, a
scanner and a yield of transcripts of its own, and counting is noisy. Beside the genes that the picture tells of there
are genes that it cannot tell, and genes that only seem to be told because cellular tissue yields more transcripts.
"""

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom import __version__
from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.files import whole_folder
from vst_dicom.simulate.cells import KINDS, count_cells
from vst_dicom.simulate.expression import SimulatedCounts, count_transcripts
from vst_dicom.simulate.noise import make_rng
from vst_dicom.simulate.patients import SimulatedPatient, draw_patients
from vst_dicom.simulate.programs import GENES, GeneKind
from vst_dicom.simulate.regions import TissueLayout
from vst_dicom.simulate.slide import BLOCK_PX, SimulatedSlide
from vst_dicom.simulate.writing import SlideRecipe, describe
from vst_dicom.slide.writing import write_pyramid
from vst_dicom.training.scores import pearson

COHORT_FILE: Final = "cohort.toml"
PANEL_FILE: Final = "panel.txt"
TRUTH_FILE: Final = "truth.json"

SPOT_UM: Final = 100.0
PITCH_UM: Final = 112.0
"""Spots lie side by side, each in the middle of a tile of the model."""

_LEAST_TISSUE: Final = 0.6
"""A place becomes a spot when at least this part of it is tissue."""

_SIDE_MM: Final = (0.8, 20.0)
_SPACING: Final = PixelSpacing.from_um(0.5)


@dataclass(frozen=True, slots=True)
class CohortRecipe:
    """Everything that decides a simulated cohort.

    Parameters
    ----------
    n_patients, n_sections
        Patients, and sections of each.
    side_mm
        Height and width of a slide.
    seed
        Which cohort.

    Raises
    ------
    UsageError
        If a number is out of range.
    """

    n_patients: int = 8
    n_sections: int = 1
    side_mm: float = 2.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.n_patients < 1 or self.n_sections < 1 or self.n_patients * self.n_sections < 2:
            raise UsageError("a cohort needs at least two sections; give more --patients or --sections")
        low, high = _SIDE_MM
        if not low <= self.side_mm <= high:
            msg = f"--side-mm must lie between {low:g} and {high:g}, not {self.side_mm:g}"
            raise UsageError(msg)
        if not 0 <= self.seed < 2**32:
            msg = f"the seed must lie between 0 and {2**32 - 1}, not {self.seed}"
            raise UsageError(msg)


@dataclass(frozen=True, eq=False)
class _Section:
    """A section before it is written."""

    name: str
    patient: SimulatedPatient
    slide: SimulatedSlide
    recipe: SlideRecipe
    cells_of_grid: NDArray[np.int64]
    cells: NDArray[np.float64]
    transcripts: SimulatedCounts

    @property
    def ceilings(self) -> NDArray[np.float64]:
        """Correlation of the true with the measured ln(1 + CP10k) of each gene: what a perfect prediction would get."""
        return pearson(np.log1p(self.transcripts.expected), np.log1p(self.transcripts.measured))


def write_cohort(
    recipe: CohortRecipe, out: Path, *, now: datetime, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write a cohort: slides, counts, places, cohort file, panel and truth; the folder appears whole or not at all.

    Parameters
    ----------
    recipe
        Which cohort.
    out
        Folder to make; it may exist when empty.
    now
        When the slides are written.
    progress
        Told sections written and sections in all.

    Raises
    ------
    UsageError
        If the folder is not empty.
    ResourceError
        If the disk is full.
    """
    total = recipe.n_patients * recipe.n_sections
    with whole_folder(out) as folder:
        sections = []
        for patient in draw_patients(recipe.n_patients, GENES, recipe.seed):
            for number in range(recipe.n_sections):
                section = _simulate(recipe, patient, f"{patient.name}-{number + 1}")
                _write_section(section, folder / section.name, now)
                sections.append(section)
                if progress is not None:
                    progress(len(sections), total)
        (folder / COHORT_FILE).write_text(_cohort_toml(recipe, sections), encoding="utf-8")
        (folder / PANEL_FILE).write_text("".join(f"{gene.symbol}\n" for gene in GENES), encoding="utf-8")
        truth = json.dumps(_truth(recipe, sections), indent=1, ensure_ascii=False)
        (folder / TRUTH_FILE).write_text(f"{truth}\n", encoding="utf-8")


def _simulate(recipe: CohortRecipe, patient: SimulatedPatient, name: str) -> _Section:
    seed = int(make_rng(recipe.seed, f"section {name}").integers(2**32))
    side_px = round(recipe.side_mm * 1000 / _SPACING.row_um)
    size = MatrixSize(side_px, side_px)
    slide = SimulatedSlide(size, _SPACING, seed, MatrixSize(BLOCK_PX, BLOCK_PX), patient.preparation)
    places = _places(slide.layout, recipe.side_mm * 1000)
    centers_um: NDArray[np.float64] = np.asarray((places + 0.5) * PITCH_UM, dtype=np.float64)
    cells = count_cells(seed, slide.layout, (recipe.side_mm * 1000,) * 2, centers_um, SPOT_UM)
    transcripts = count_transcripts(cells, centers_um, GENES, patient.median_counts, patient.gene_factors, seed)
    return _Section(name, patient, slide, SlideRecipe(size, _SPACING, seed), places, cells, transcripts)


def _places(layout: TissueLayout, side_um: float) -> NDArray[np.int64]:
    """Row and column, on a grid of `PITCH_UM`, of the places that lie in tissue, shape ``(n_spots, 2)``."""
    n = int(side_um // PITCH_UM)
    fine = (np.arange(n * 14) + 0.5) * PITCH_UM / 14
    tissue = (layout.on_grid(fine, fine).tissue > 0).reshape(n, 14, n, 14).mean(axis=(1, 3))
    return np.argwhere(tissue >= _LEAST_TISSUE)


def _write_section(section: _Section, folder: Path, now: datetime) -> None:
    patient = section.patient
    description = replace(
        describe(section.recipe),
        patient_id=f"SIM-{patient.name}",
        accession_number=f"SIM-{section.name}",
        study_id=f"SIM-{section.name}",
        container_identifier=f"SIM-{section.name}",
        specimen_identifier=f"SIM-{section.name}-A",
        device_serial_number=f"simulated, {patient.site}",
    )
    uid_seed = f"{section.recipe.uid_seed}, {section.name}, {patient.preparation!r}"
    write_pyramid(section.slide, description, folder / "slide", uid_seed=uid_seed, now=now)
    keys = [f"{column}x{row}" for row, column in section.cells_of_grid.tolist()]
    of_panel = section.transcripts.symbols[: section.transcripts.expected.shape[1]]
    _write_table(folder / "counts.tsv.gz", section.transcripts.symbols, keys, section.transcripts.counts, "%d")
    _write_table(folder / "expected.tsv.gz", of_panel, keys, section.transcripts.expected, "%.4g")
    _write_table(folder / "cells.tsv.gz", KINDS, keys, section.cells, "%.4g")
    tile_px = PITCH_UM / _SPACING.row_um
    lines = ["x\ty\tpixel_x\tpixel_y"]
    for row, column in section.cells_of_grid.tolist():
        x, y = ((index + 0.5) * tile_px - 0.5 for index in (column, row))
        lines.append(f"{column}\t{row}\t{x:g}\t{y:g}")
    (folder / "spots.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_table(path: Path, names: Sequence[str], keys: Sequence[str], rows: NDArray[Any], form: str) -> None:
    """Write a header of names, then per spot its key and numbers; the same numbers always give the same bytes."""
    lines = ["\t".join(("", *names))]
    lines += ["\t".join((key, *(form % value for value in row))) for key, row in zip(keys, rows.tolist(), strict=True)]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def _cohort_toml(recipe: CohortRecipe, sections: Sequence[_Section]) -> str:
    head = f"""# A simulated cohort: nothing in it is of a patient. {TRUTH_FILE} beside this file says what is true.

name = "simulated cohort, seed {recipe.seed}"
doi = "none, simulated"
license = "none needed, simulated"
source = "vst-dicom simulate cohort, version {__version__}"
organ = "breast, simulated carcinoma"
specimen = "simulated"
library = "simulated spots, {PITCH_UM:g} µm pitch"
spot_um = {SPOT_UM}
"""
    parts = [
        f"""
[[section]]
id = "{section.name}"
patient = "{section.patient.name}"
site = "{section.patient.site}"
image = "{section.name}/slide"
counts = "{section.name}/counts.tsv.gz"
spots = "{section.name}/spots.tsv"
"""
        for section in sections
    ]
    return head + "".join(parts)


def _truth(recipe: CohortRecipe, sections: Sequence[_Section]) -> dict[str, Any]:
    by_patient: dict[str, list[_Section]] = {}
    for section in sections:
        by_patient.setdefault(section.patient.name, []).append(section)
    ceilings = {name: np.mean([s.ceilings for s in own], axis=0) for name, own in by_patient.items()}
    return {
        "simulated": True,
        "seed": recipe.seed,
        "software": f"vst_dicom {__version__}",
        "noise_ceiling": "correlation of the true with the measured ln(1 + CP10k) within a section, mean over sections",
        "patients": [
            {
                "name": name,
                "site": own[0].patient.site,
                "hematoxylin": round(own[0].patient.preparation.dyes.hematoxylin, 4),
                "eosin": round(own[0].patient.preparation.dyes.eosin, 4),
                "median_counts": round(own[0].patient.median_counts),
                "n_spots": sum(len(section.cells) for section in own),
            }
            for name, own in by_patient.items()
        ],
        "genes": [
            {
                "symbol": gene.symbol,
                "kind": str(gene.kind),
                "predictable": gene.kind is GeneKind.PROGRAM,
                "weights": gene.weights,
                "level": gene.level,
                "scale_um": gene.scale_um,
                "noise_ceiling": {name: round(float(values[index]), 4) for name, values in ceilings.items()},
            }
            for index, gene in enumerate(GENES)
        ],
    }
