"""Proof, before anything is sent, that what was written says what was predicted."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.errors import EncodingError
from vst_dicom.domain.geometry import PixelSpacing, SlidePlane
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.outlines import corners_to_slide_mm, tile_corners_px
from vst_dicom.encode.parametric_map import FIRST, LAST, LinearMapping
from vst_dicom.encode.provenance import ANNOTATIONS, PARAMETRIC_MAP, REPORT, SEGMENTATION, ResultKind, result_uid
from vst_dicom.encode.segmentation import segment_masks

_VALIDATOR_TIMEOUT_S: Final = 120

_TOLERANCE_MM: Final = 1e-6
"""A nanometer: what decimal strings of 16 characters may lose over a slide."""


def check_result(source: SourceSlide, result: SlideResult, files: Iterable[Path]) -> None:
    """Read written objects back and compare them with the slide and the result.

    Parameters
    ----------
    source
        The slide.
    result
        What was to be written.
    files
        DICOM objects of the result.

    Raises
    ------
    EncodingError
        If a file cannot be read, belongs elsewhere, or says something else than the result.
    """
    for path in files:
        try:
            dataset = dcmread(path)
        except (OSError, InvalidDicomError, EOFError) as error:
            msg = f"{path.name} cannot be read back: {error}"
            raise EncodingError(msg) from error
        kind = _KINDS.get(str(dataset.SOPClassUID))
        _require(kind is not None, path, "is of an unknown kind")
        if kind is not None:
            _check_identity(dataset, kind, source, result, path)
            try:
                for check in _CONTENT[kind]:
                    check(dataset, source, result, path)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                msg = f"{path.name} is incomplete: {type(error).__name__} on reading it back; write the result again"
                raise EncodingError(msg) from error


def validate_with_dciodvfy(path: Path) -> list[str] | None:
    """Ask an independent validator, where it is installed.

    Parameters
    ----------
    path
        A DICOM file.

    Returns
    -------
    list of str or None
        Its errors, without repetitions and without values, which may name the patient; None where ``dciodvfy``
        (Debian package dicom3tools) is not installed.

    Raises
    ------
    EncodingError
        If the validator does not end.
    """
    program = shutil.which("dciodvfy")
    if program is None:
        return None
    try:
        run = subprocess.run(  # noqa: S603
            [program, "-new", str(path)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_VALIDATOR_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"dciodvfy did not finish {path.name} in {_VALIDATOR_TIMEOUT_S} s; validate it by hand"
        raise EncodingError(msg) from error
    lines = (run.stdout + run.stderr).splitlines()
    errors = [re.sub(r"= <[^>]*>", "= <...>", line) for line in lines if line.startswith("Error")]
    return list(dict.fromkeys(errors))


def _require(condition: bool, path: Path, what: str) -> None:
    if not condition:
        msg = f"{path.name} {what}; nothing of this result may be sent, report it with the bundle and the slide's UID"
        raise EncodingError(msg)


def _check_identity(dataset: Dataset, kind: ResultKind, source: SourceSlide, result: SlideResult, path: Path) -> None:
    header = source.header
    _require(dataset.SOPInstanceUID == result_uid(source, result, kind.name, "instance"), path, "has another UID")
    _require(dataset.SeriesInstanceUID == result_uid(source, result, kind.name, "series"), path, "has another series")
    _require(dataset.StudyInstanceUID == source.study_instance_uid, path, "is in another study")
    for keyword in ("PatientID", "PatientName", "ContainerIdentifier"):
        same = str(dataset.get(keyword) or "") == str(header.get(keyword) or "")
        _require(same, path, f"has another {keyword} than the slide")
    if kind is not REPORT:
        same = dataset.FrameOfReferenceUID == source.frame_of_reference_uid
        _require(same, path, "is in another frame of reference")
    referenced = {
        str(item.ReferencedSOPInstanceUID)
        for holder in (dataset, *dataset.get("CurrentRequestedProcedureEvidenceSequence", ()))
        for series in holder.get("ReferencedSeriesSequence", ())
        for item in series.get("ReferencedInstanceSequence", series.get("ReferencedSOPSequence"))
    }
    wanted = {str(instance.SOPInstanceUID) for instance in source.instances}
    _require(wanted <= referenced, path, "does not refer to the whole slide")


def _check_place(dataset: Dataset, source: SourceSlide, result: SlideResult, path: Path) -> None:
    """Compare where the center of the last pixel lies with where its tile lies."""
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    spacing = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    row_x, row_y, row_z, column_x, column_y, column_z = (float(cosine) for cosine in dataset.ImageOrientationSlide)
    written = SlidePlane(
        (
            float(origin.XOffsetInSlideCoordinateSystem),
            float(origin.YOffsetInSlideCoordinateSystem),
            float(origin.ZOffsetInSlideCoordinateSystem),
        ),
        (row_x, row_y, row_z, column_x, column_y, column_z),
        PixelSpacing(float(spacing[0]), float(spacing[1])),
    )
    tile, grid = result.grid.tile_size, result.grid.size
    found = written.to_slide_mm(grid.n_columns - 1, grid.n_rows - 1)
    x_px = grid.n_columns * tile.n_columns - (tile.n_columns + 1) / 2
    y_px = grid.n_rows * tile.n_rows - (tile.n_rows + 1) / 2
    same = np.allclose(found, source.plane.to_slide_mm(x_px, y_px), rtol=0, atol=_TOLERANCE_MM)
    _require(same, path, "lies elsewhere on the slide")


def _check_maps(dataset: Dataset, _: SourceSlide, result: SlideResult, path: Path) -> None:
    """Compare decoded maps with the values: the error is at most half a step, and background stays background."""
    grid, values = result.grid, result.expression.values
    stored = np.asarray(dataset.pixel_array).reshape(-1, grid.size.n_rows, grid.size.n_columns)
    _require(len(stored) == values.shape[1], path, "has another number of genes")
    _require(bool(((stored == 0) == ~grid.mask).all()), path, "has tissue where the grid has none, or the reverse")
    rows, columns = grid.cells.T
    for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item = groups.RealWorldValueMappingSequence[0]
        in_range = (item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped) == (FIRST, LAST)
        _require(in_range, path, "maps other stored values")
        mapping = LinearMapping(float(item.RealWorldValueSlope), float(item.RealWorldValueIntercept))
        decoded = mapping.to_values(stored[index, rows, columns])
        error = float(np.abs(decoded - values[:, index]).max(initial=0.0))
        _require(error <= mapping.slope * 0.500001, path, f"is off by {error:.3g} for gene {index + 1}")


def _check_segments(dataset: Dataset, _: SourceSlide, result: SlideResult, path: Path) -> None:
    masks = segment_masks(result)
    frames = np.asarray(dataset.pixel_array).reshape(int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    n_columns = result.grid.size.n_columns
    _require(frames[:, :, :n_columns].shape == masks.shape, path, "has another size or number of segments")
    _require(bool((frames[:, :, :n_columns] == masks).all()), path, "shows other segments than the result")
    _require(not frames[:, :, n_columns:].any(), path, "has segments beyond the slide")


def _check_annotations(dataset: Dataset, source: SourceSlide, result: SlideResult, path: Path) -> None:
    """Compare place and value of each gene's tiles, whatever their order, exactly."""
    columns = {panel_gene.gene.symbol: index for index, panel_gene in enumerate(result.expression.genes)}
    found: dict[str, list[NDArray[np.float64]]] = {}
    for group in dataset.AnnotationGroupSequence:
        if group.GraphicType == "RECTANGLE":
            symbol = str(group.AnnotationGroupLabel).rpartition(" quintile ")[0]
            stored = group.MeasurementsSequence[0].MeasurementValuesSequence[0].FloatingPointValues
            values = np.frombuffer(stored, dtype="<f4")
            points = np.frombuffer(group.DoublePointCoordinatesData, dtype="<f8").reshape(len(values), 4, -1)
            found.setdefault(symbol, []).append(np.column_stack([points[:, 0, :2], values]))
    corners = corners_to_slide_mm(source.plane, tile_corners_px(result.grid)).reshape(-1, 4, 3)[:, 0, :2]
    for symbol, parts in found.items():
        _require(symbol in columns, path, f"names the gene {symbol}, which the result does not have")
        expected = np.column_stack([corners, result.expression.values[:, columns[symbol]]])
        _require(np.array_equal(_sorted(np.concatenate(parts)), _sorted(expected)), path, f"differs for {symbol}")


def _sorted(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows[np.lexsort(rows.T)]


_KINDS: Final = {kind.sop_class_uid: kind for kind in (PARAMETRIC_MAP, SEGMENTATION, ANNOTATIONS, REPORT)}

_CONTENT: Final[dict[ResultKind, tuple[Callable[[Dataset, SourceSlide, SlideResult, Path], None], ...]]] = {
    PARAMETRIC_MAP: (_check_place, _check_maps),
    SEGMENTATION: (_check_place, _check_segments),
    ANNOTATIONS: (_check_annotations,),
    REPORT: (),
}
