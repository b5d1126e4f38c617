"""What images of one pixel per tile share: size, place on the glass and dimensions."""

from typing import Final

from pydicom.dataset import Dataset

from vst_dicom.dicom.encoded import encode_item, encode_numbers, encode_sequence, encode_text
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.geometry import SlidePlane
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.placement import check_last_pixel, pixel_measures, place_matrix, set_offsets, to_decimal
from vst_dicom.encode.provenance import place_in_frame_of_reference, reference, referenced_series, result_uid

_PLANE_POSITION: Final = 0x0048021A
"""Plane Position (Slide) Sequence."""

_ROW_POSITION: Final = (0x0048021F, _PLANE_POSITION, "Row position in total pixel matrix")
_COLUMN_POSITION: Final = (0x0048021E, _PLANE_POSITION, "Column position in total pixel matrix")


def place_map(dataset: Dataset, source: SourceSlide, result: SlideResult, frame_columns: int) -> SlidePlane:
    """Add size, place and references of an image whose pixels are tiles.

    Parameters
    ----------
    dataset
        The image.
    source, result
        The slide and its grid.
    frame_columns
        Columns of a frame; it may reach beyond the grid.

    Returns
    -------
    SlidePlane
        Plane of the map.
    """
    grid = result.grid
    plane = source.plane.coarsened(grid.tile_size)
    place_in_frame_of_reference(dataset, source)
    dataset.PatientOrientation = None
    dataset.ReferencedSeriesSequence = [referenced_series(source)]
    dataset.SourceImageSequence = [reference(instance) for instance in source.instances]

    dataset.Rows, dataset.Columns = grid.size.n_rows, frame_columns
    place_matrix(dataset, grid.size, plane)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelRepresentation = 0
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    return plane


def set_dimensions(
    dataset: Dataset, source: SourceSlide, result: SlideResult, channel: tuple[int, int, str] | None, kind: str
) -> None:
    """Add the Multi-frame Dimension module (PS3.3 C.7.6.17): channel if any, row, column.

    Parameters
    ----------
    dataset
        The image.
    source, result
        What the organization's UID derives from.
    channel
        Dimension Index Pointer (0020,9165), Functional Group Pointer (0020,9167) and label of the channel; None where
        the image has a single frame.
    kind
        Name of the object.
    """
    organization_uid = result_uid(source, result, kind, "dimensions")
    organization = Dataset()
    organization.DimensionOrganizationUID = organization_uid
    dataset.DimensionOrganizationSequence = [organization]
    dataset.DimensionIndexSequence = []
    for pointer, group, label in (*([channel] if channel else []), _ROW_POSITION, _COLUMN_POSITION):
        index = Dataset()
        index.DimensionOrganizationUID = organization_uid
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = group
        index.DimensionDescriptionLabel = label
        dataset.DimensionIndexSequence.append(index)


def shared_groups(source: SourceSlide, plane: SlidePlane) -> Dataset:
    """Begin the Shared Functional Groups with Pixel Measures (PS3.3 C.7.6.16.2.1)."""
    shared = Dataset()
    shared.PixelMeasuresSequence = [pixel_measures(source.header, plane)]
    return shared


def frame_groups(plane: SlidePlane, channel: int | None) -> Dataset:
    """Begin a frame's functional groups with its index and place; every frame shows the whole map.

    Parameters
    ----------
    plane
        Plane of the map.
    channel
        Which channel, from 1; None where the image has a single frame.
    """
    content, position, groups = Dataset(), Dataset(), Dataset()
    content.DimensionIndexValues = [*([channel] if channel else []), 1, 1]
    position.RowPositionInTotalImagePixelMatrix = 1
    position.ColumnPositionInTotalImagePixelMatrix = 1
    set_offsets(position, plane)
    groups.FrameContentSequence = [content]
    groups.PlanePositionSlideSequence = [position]
    return groups


def encode_position(plane: SlidePlane) -> bytes:
    """Encode the place of a frame that shows the whole map, once for all frames; see `frame_groups`."""
    x_mm, y_mm, z_mm = (str(to_decimal(value)) for value in plane.origin_mm)
    position = encode_item(
        encode_numbers("RowPositionInTotalImagePixelMatrix", 1),
        encode_numbers("ColumnPositionInTotalImagePixelMatrix", 1),
        encode_text("XOffsetInSlideCoordinateSystem", x_mm),
        encode_text("YOffsetInSlideCoordinateSystem", y_mm),
        encode_text("ZOffsetInSlideCoordinateSystem", z_mm),
    )
    return encode_sequence("PlanePositionSlideSequence", position)


def check_place(dataset: Dataset, source: SourceSlide, result: SlideResult) -> None:
    """Compare where the center of the last pixel of a written map lies with where its tile lies.

    Raises
    ------
    EncodingError
        If it lies elsewhere.
    """
    tile, grid = result.grid.tile_size, result.grid.size
    x_px = grid.n_columns * tile.n_columns - (tile.n_columns + 1) / 2
    y_px = grid.n_rows * tile.n_rows - (tile.n_rows + 1) / 2
    check_last_pixel(dataset, grid, source.plane.to_slide_mm(x_px, y_px))
