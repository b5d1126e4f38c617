"""One gene painted over the slide, as a whole slide image of its own (PS3.3 A.32.8).

For viewers that show slides but no maps. It is an image of the same glass in the same frame of reference, and says so;
a viewer that takes every such image for a part of the slide may fail on it, so it is written only where it is asked
for.
"""

from functools import cache, partial
from typing import Final

import cv2
import numpy as np
import simplejpeg
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit

from vst_dicom.dicom import codes
from vst_dicom.dicom.attributes import read_texts
from vst_dicom.dicom.frames import JPEG_METHOD, cut_frame_row, encode_jpeg
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.geometry import MatrixSize, SlidePlane
from vst_dicom.domain.pixels import RgbImage, Thumbnail
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.wording import RESEARCH_USE_ONLY, UNIT
from vst_dicom.encode.colored_genes import choose_colored_genes
from vst_dicom.encode.objects import ResultObject, require
from vst_dicom.encode.overlay_picture import COLORS, count_levels, make_levels, paint_gene
from vst_dicom.encode.placement import check_last_pixel, pixel_measures, place_matrix
from vst_dicom.encode.provenance import (
    ResultKind,
    copy_lossy_compression,
    derivation,
    leave_laterality_unknown,
    place_in_frame_of_reference,
    plain,
    reference,
    referenced_series,
    require_shown_genes,
    result_uid,
    start_object,
)
from vst_dicom.encode.slide_attributes import describe_acquisition, describe_optical_path

FRAME_PX: Final = 256
MOST_LEVELS: Final = 4

IMAGE_TYPE: Final = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
"""Every level, the first one too, was made from a larger image (PS3.3 C.8.12.4.1.1)."""

_SERIES: Final = "color-overlay"
_QUALITY: Final = 90
_PIXEL_DATA: Final = 0x7FE00010
_DEPTH_UM: Final = 1.0
"""Imaged Volume Depth (0048,0003) where the slide states none: about that of one focal plane."""

_BLOCK_PX: Final = 16
_BLOCK_TOLERANCE: Final = 6.0
"""How far the mean color of a block of pixels may be off after JPEG."""


def color_overlay_objects(
    source: SourceSlide, result: SlideResult, symbol: str, picture: Thumbnail
) -> list[ResultObject]:
    """Levels of the overlay of one gene, which share a series; none where no gene is shown.

    Parameters
    ----------
    source, result
        The slide and its predictions.
    symbol
        Of the gene.
    picture
        The slide; its resolution becomes that of the largest level.

    Raises
    ------
    UsageError
        If the gene is not shown.
    """
    if not result.expression.genes:
        return []
    require_shown_genes(result)
    (column,) = choose_colored_genes(result, [symbol])

    @cache
    def paint() -> list[RgbImage]:
        return make_levels(paint_gene(result, column, picture), FRAME_PX, MOST_LEVELS)

    def encode(level: int) -> Dataset:
        return _encode_level(source, result, column, picture, level, paint()[level])

    def check(level: int, dataset: Dataset) -> None:
        _check_level(dataset, _level_plane(source, picture, level), paint()[level])

    return [
        ResultObject(
            _level_kind(symbol, level),
            partial(encode, level),
            partial(check, level),
            transfer_syntax_uid=JPEGBaseline8Bit,
        )
        for level in range(count_levels(picture.image, FRAME_PX, MOST_LEVELS))
    ]


def _level_kind(symbol: str, level: int) -> ResultKind:
    return ResultKind(
        f"{_SERIES}-{level}",
        VL_WHOLE_SLIDE,
        "SM",
        9030,
        plain(f"Predicted {symbol} as colors, Research Use Only"),
        series_name=_SERIES,
        instance_number=level + 1,
    )


def _level_plane(source: SourceSlide, picture: Thumbnail, level: int) -> SlidePlane:
    """Plane of a level.

    The largest level's origin is the center of its first pixel. The others state the same, as scanners do: readers
    take levels with different origins for different slides, and compute positions from the largest level.
    """
    x, y, z = source.plane.to_slide_mm((picture.base_px[0] - 1) / 2, (picture.base_px[1] - 1) / 2)[0]
    spacing = picture.spacing.scaled(2**level, 2**level)
    return SlidePlane((float(x), float(y), float(z)), source.plane.orientation, spacing)


def _encode_level(
    source: SourceSlide, result: SlideResult, column: int, picture: Thumbnail, level: int, image: RgbImage
) -> Dataset:
    gene, values = result.expression.genes[column].gene, result.expression.values[:, column]
    size, header = MatrixSize(*image.shape[:2]), source.header
    plane = _level_plane(source, picture, level)
    dataset = start_object(source, result, _level_kind(gene.symbol, level))
    place_in_frame_of_reference(dataset, source)
    leave_laterality_unknown(dataset)
    dataset.ReferencedSeriesSequence = [referenced_series(source)]
    dataset.SourceImageSequence = [reference(instance) for instance in source.instances]
    dataset.ImageType = IMAGE_TYPE
    dataset.ImageComments = _explain(gene, float(values.min()), float(values.max()))
    dataset.BurnedInAnnotation = "YES" if header.get("BurnedInAnnotation") == "YES" else "NO"
    dataset.SpecimenLabelInImage = "NO"
    dataset.PyramidUID = result_uid(source, result, _SERIES, "pyramid")
    describe_acquisition(dataset, header, result)
    describe_optical_path(dataset, source)

    place_matrix(dataset, size, plane)
    dataset.ImagedVolumeWidth = source.size.n_columns * source.plane.spacing.column_mm
    dataset.ImagedVolumeHeight = source.size.n_rows * source.plane.spacing.row_mm
    dataset.ImagedVolumeDepth = header.get("ImagedVolumeDepth") or _DEPTH_UM
    organization = Dataset()
    organization.DimensionOrganizationUID = result_uid(source, result, _SERIES, "dimensions")
    dataset.DimensionOrganizationSequence = [organization]
    dataset.DimensionOrganizationType = "TILED_FULL"
    dataset.SharedFunctionalGroupsSequence = [_shared_groups(source, plane, dataset)]
    _add_frames(dataset, source, image)
    return dataset


def _explain(gene: Gene, least: float, most: float) -> str:
    scale = f"from {least:.4g} (dark) to {most:.4g} (bright)" if most > least else f"all {most:.4g}"
    return plain(
        f"Predicted {gene.symbol} mRNA expression in {COLORS} colors, {scale} {UNIT}, over the slide in gray. "
        "Uncolored: glass, or tissue without a value. For display: the values are in the Parametric Map. Predicted "
        f"from morphology, not measured. {RESEARCH_USE_ONLY}",
        1024,
    )


def _shared_groups(source: SourceSlide, plane: SlidePlane, dataset: Dataset) -> Dataset:
    measures = pixel_measures(source.header, plane)
    if "SliceThickness" not in measures:
        measures.SliceThickness = dataset.ImagedVolumeDepth / 1000
    frame_type, path, shared = Dataset(), Dataset(), Dataset()
    frame_type.FrameType = IMAGE_TYPE
    path.OpticalPathIdentifier = dataset.OpticalPathSequence[0].OpticalPathIdentifier
    shared.PixelMeasuresSequence = [measures]
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [frame_type]
    shared.OpticalPathIdentificationSequence = [path]
    shared.DerivationImageSequence = [derivation(source, codes.COLORED_BY_EXPRESSION)]
    return shared


def _add_frames(dataset: Dataset, source: SourceSlide, image: RgbImage) -> None:
    frames = [encode_jpeg(frame, _QUALITY) for frame in _cut(image)]
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PlanarConfiguration = 0
    dataset.NumberOfFrames = len(frames)
    dataset.Rows = dataset.Columns = FRAME_PX
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    copy_lossy_compression(dataset, source)
    ratio = len(frames) * FRAME_PX**2 * 3 / sum(map(len, frames))
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = [*read_texts(dataset, "LossyImageCompressionRatio"), f"{ratio:.2f}"]
    dataset.LossyImageCompressionMethod = [*read_texts(dataset, "LossyImageCompressionMethod"), JPEG_METHOD]
    dataset.add_new(_PIXEL_DATA, "OB", encapsulate(frames))
    dataset["PixelData"].is_undefined_length = True


def _cut(image: RgbImage) -> list[RgbImage]:
    """Cut a level into frames, row by row."""
    starts = range(0, image.shape[0], FRAME_PX)
    return [frame for start in starts for frame in cut_frame_row(image[start : start + FRAME_PX], FRAME_PX)]


def _check_level(dataset: Dataset, plane: SlidePlane, image: RgbImage) -> None:
    """Compare place and decoded pixels, block by block within what JPEG may change."""
    size = MatrixSize(*image.shape[:2])
    check_last_pixel(dataset, size, plane.to_slide_mm(size.n_columns - 1, size.n_rows - 1))
    found_size = (dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns)
    require(found_size == image.shape[:2], "has another size than the picture of the slide")
    wanted = _cut(image)
    require(dataset.NumberOfFrames == len(wanted), "has another number of frames")
    found = generate_frames(dataset.PixelData, number_of_frames=len(wanted))
    for number, (encoded, frame) in enumerate(zip(found, wanted, strict=True), start=1):
        decoded = simplejpeg.decode_jpeg(encoded, colorspace="RGB")
        difference = decoded.astype(np.float32) - frame
        blocks = cv2.resize(difference, (FRAME_PX // _BLOCK_PX,) * 2, interpolation=cv2.INTER_AREA)
        off_by = float(np.abs(blocks).max())
        require(off_by <= _BLOCK_TOLERANCE, f"shows other colors than the result in frame {number}")
