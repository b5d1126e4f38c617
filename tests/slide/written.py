"""Write a painted slide and read its pixels back, for tests of this folder."""

import io
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import generate_frames

from tests.slide.painted import PaintedSource, paint
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.domain.pixels import RgbImage
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.writing import write_pyramid

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DESCRIPTION = SlideDescription(
    patient_id="P1",
    patient_name="Doe^Jane",
    patient_birth_date=date(1960, 2, 3),
    patient_sex="F",
    container_identifier="S26-1-A",
    anatomy=("76752008", "Breast"),
    fixation=("434162003", "Neutral Buffered Formalin"),
    embedding=("311731000", "Paraffin wax"),
    acquired=datetime(2026, 1, 1, 12, 0, 0),
)


def write(out: Path, source: PaintedSource | None = None, **options: Any) -> list[Path]:
    arguments: dict[str, Any] = {"uid_seed": "seed", "now": NOW, "description": DESCRIPTION, **options}
    return write_pyramid(source or PaintedSource(paint(301, 403)), out=out, **arguments)


def read_matrix(path: Path) -> RgbImage:
    """Decode each frame with Pillow and put it at its place."""
    dataset = pydicom.dcmread(path)
    rows, columns = dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns
    height, width = dataset.Rows, dataset.Columns
    n_across = -(-columns // width)
    matrix = np.zeros((-(-rows // height) * height, n_across * width, 3), dtype=np.uint8)
    for index, frame in enumerate(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames)):
        y, x = index // n_across * height, index % n_across * width
        matrix[y : y + height, x : x + width] = np.asarray(Image.open(io.BytesIO(frame)))
    return matrix[:rows, :columns]


def write_labeled(out: Path) -> list[Path]:
    """A slide with a label, x and y spacing apart, both sides odd."""
    source = PaintedSource(paint(1501, 2003), frame_px=500, spacing=PixelSpacing(0.0005, 0.0004))
    return write(out, source, label=paint(300, 401))
