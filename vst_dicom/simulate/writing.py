"""A simulated slide as files: DICOM pyramid, label and, beside them, the truth."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from PIL import Image

from vst_dicom import __version__
from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.files import whole_file
from vst_dicom.simulate.label import draw_label
from vst_dicom.simulate.regions import Region, RegionMap
from vst_dicom.simulate.slide import BLOCK_PX, Preparation, SimulatedSlide
from vst_dicom.simulate.stain import DYE_AMOUNTS, Stain
from vst_dicom.slide.description import SIMULATED_MODEL, SlideDescription
from vst_dicom.slide.writing import write_pyramid

_RECIPE: Final = "1"
"""Goes into the identifiers; another way of painting makes other instances."""

_PATIENT_NAME: Final = "SPECIMEN^SIMULATED"

_TRUTH_COLORS: Final = {
    Region.GLASS: (255, 255, 255),
    Region.STROMA: (240, 150, 180),
    Region.TUMOR: (120, 60, 150),
    Region.LYMPHOID: (30, 40, 130),
    Region.FAT: (245, 220, 130),
}


@dataclass(frozen=True, slots=True)
class SlideRecipe:
    """Everything that decides the pixels of a simulated slide.

    Parameters
    ----------
    size, spacing
        Total pixel matrix and distance between its pixels.
    seed
        Which slide.
    stain
        How much dye it took.
    """

    size: MatrixSize
    spacing: PixelSpacing
    seed: int
    stain: Stain = Stain.NORMAL

    @property
    def uid_seed(self) -> str:
        """What the slide's identifiers derive from."""
        size, spacing = self.size, self.spacing
        return (
            f"simulated slide {_RECIPE}: seed {self.seed}, {size.n_columns} x {size.n_rows} px, "
            f"{spacing.column_um:.9g} x {spacing.row_um:.9g} µm/px, {self.stain}"
        )


@dataclass(frozen=True, slots=True)
class WrittenSlide:
    """What `write_simulated_slide` wrote.

    Parameters
    ----------
    instances
        DICOM files, the base level first, the label last.
    truth_picture, truth_facts
        The region map as an indexed PNG, and what its numbers mean.
    """

    instances: tuple[Path, ...]
    truth_picture: Path
    truth_facts: Path


def write_simulated_slide(
    recipe: SlideRecipe,
    out: Path,
    *,
    now: datetime,
    frame_px: int = 256,
    jpeg_quality: int = 85,
    progress: Callable[[int, int], None] | None = None,
) -> WrittenSlide:
    """Write a slide to ``out/slide`` and its truth to ``out/truth.png`` and ``out/truth.json``.

    The same recipe, frame size and quality give the same identifiers and the same frames, byte by byte.

    Parameters
    ----------
    recipe
        Which slide.
    out
        Folder to make; it may exist when empty.
    now
        When it is written.
    frame_px, jpeg_quality
        Rows and columns of a DICOM frame; 1 to 100.
    progress
        Told frames written and frames in all.

    Raises
    ------
    UsageError
        If the folder is not empty or a number is out of range.
    ResourceError
        If the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = f"{out} exists and is not an empty folder; choose another --out or empty it"
        raise UsageError(msg)
    existed = out.exists()
    preparation = Preparation(dyes=DYE_AMOUNTS[recipe.stain])
    slide = SimulatedSlide(recipe.size, recipe.spacing, recipe.seed, MatrixSize(BLOCK_PX, BLOCK_PX), preparation)
    instances = write_pyramid(
        slide,
        describe(recipe),
        out / "slide",
        uid_seed=recipe.uid_seed,
        now=now,
        frame_px=frame_px,
        jpeg_quality=jpeg_quality,
        label=draw_label(_PATIENT_NAME, f"SIM-{recipe.seed}"),
        progress=progress,
    )
    written = WrittenSlide(tuple(instances), out / "truth.png", out / "truth.json")
    try:
        _write_truth(slide.region_map(), recipe, written)
    except BaseException:
        written.truth_picture.unlink(missing_ok=True)
        written.truth_facts.unlink(missing_ok=True)
        shutil.rmtree(out / "slide", ignore_errors=True)
        if not existed:
            out.rmdir()
        raise
    return written


def describe(recipe: SlideRecipe) -> SlideDescription:
    """Say plainly that patient, specimen and scanner are made up."""
    return SlideDescription(
        patient_id=f"SIM-{recipe.seed}",
        patient_name=_PATIENT_NAME,
        patient_sex="O",
        accession_number=f"SIM-{recipe.seed}",
        study_id=f"SIM-{recipe.seed}",
        study_description="Simulated slide, not a patient",
        container_identifier=f"SIM-{recipe.seed}-1",
        specimen_identifier=f"SIM-{recipe.seed}-1-A",
        specimen_description="Simulated breast carcinoma, painted by a program",
        anatomy=("76752008", "Breast"),
        fixation=("434162003", "Neutral Buffered Formalin"),
        embedding=("311731000", "Paraffin wax"),
        manufacturer="vst_dicom",
        model_name=SIMULATED_MODEL,
        device_serial_number="simulated",
        software_versions=(f"vst_dicom {__version__} (simulated)",),
    )


def _write_truth(truth: RegionMap, recipe: SlideRecipe, written: WrittenSlide) -> None:
    picture = Image.fromarray(truth.labels, mode="P")
    picture.putpalette([value for region in Region for value in _TRUTH_COLORS[region]])
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    with whole_file(written.truth_picture) as temporary:
        temporary.write_bytes(encoded.getvalue())
    size, spacing = recipe.size, recipe.spacing
    tissue = int((truth.labels != Region.GLASS).sum())
    facts: dict[str, Any] = {
        "simulated": True,
        "picture": written.truth_picture.name,
        "classes": {str(int(region)): region.name.lower() for region in Region},
        "truth_pixel_um": truth.spacing.row_um,
        "truth_origin": "outer corner of the slide's top left pixel",
        "tissue_fractions": {
            region.name.lower(): round(float((truth.labels == region).sum()) / max(tissue, 1), 4)
            for region in Region
            if region is not Region.GLASS
        },
        "rows": size.n_rows,
        "columns": size.n_columns,
        "pixel_spacing_um": [round(spacing.column_um, 9), round(spacing.row_um, 9)],
        "seed": recipe.seed,
        "stain": recipe.stain.value,
        "software": f"vst_dicom {__version__}",
    }
    with whole_file(written.truth_facts) as temporary:
        temporary.write_bytes((json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())
