"""What images of one pixel per tile share: size, place on the glass and dimensions."""

from typing import Final

from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.geometry import SlidePlane
from vst_dicom.domain.result import SlideResult
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
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = grid.size.n_rows, grid.size.n_columns
    dataset.TotalPixelMatrixFocalPlanes = 1
    dataset.ImageOrientationSlide = [_decimal(value) for value in plane.orientation]
    origin = Dataset()
    _set_offsets(origin, plane)
    dataset.TotalPixelMatrixOriginSequence = [origin]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelRepresentation = 0
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    return plane


def set_dimensions(
    dataset: Dataset, source: SourceSlide, result: SlideResult, channel: tuple[int, int, str], kind: str
) -> None:
    """Add the Multi-frame Dimension module (PS3.3 C.7.6.17): channel, row, column.

    Parameters
    ----------
    dataset
        The image.
    source, result
        What the organization's UID derives from.
    channel
        Dimension Index Pointer (0020,9165), Functional Group Pointer (0020,9167) and label of the channel.
    kind
        Name of the object.
    """
    organization_uid = result_uid(source, result, kind, "dimensions")
    organization = Dataset()
    organization.DimensionOrganizationUID = organization_uid
    dataset.DimensionOrganizationSequence = [organization]
    dataset.DimensionIndexSequence = []
    for pointer, group, label in (channel, _ROW_POSITION, _COLUMN_POSITION):
        index = Dataset()
        index.DimensionOrganizationUID = organization_uid
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = group
        index.DimensionDescriptionLabel = label
        dataset.DimensionIndexSequence.append(index)


def shared_groups(source: SourceSlide, plane: SlidePlane) -> Dataset:
    """Begin the Shared Functional Groups with Pixel Measures (PS3.3 C.7.6.16.2.1)."""
    measures = Dataset()
    measures.PixelSpacing = [_decimal(plane.spacing.row_mm), _decimal(plane.spacing.column_mm)]
    thickness = _slice_thickness(source.header)
    if thickness is not None:
        measures.SliceThickness = _decimal(thickness)
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    return shared


def frame_groups(plane: SlidePlane, channel: int) -> Dataset:
    """Begin a frame's functional groups with its index and place; every frame shows the whole map.

    Parameters
    ----------
    plane
        Plane of the map.
    channel
        Which channel, from 1.
    """
    content, position, groups = Dataset(), Dataset(), Dataset()
    content.DimensionIndexValues = [channel, 1, 1]
    position.RowPositionInTotalImagePixelMatrix = 1
    position.ColumnPositionInTotalImagePixelMatrix = 1
    _set_offsets(position, plane)
    groups.FrameContentSequence = [content]
    groups.PlanePositionSlideSequence = [position]
    return groups


def _set_offsets(item: Dataset, plane: SlidePlane) -> None:
    item.XOffsetInSlideCoordinateSystem = _decimal(plane.origin_mm[0])
    item.YOffsetInSlideCoordinateSystem = _decimal(plane.origin_mm[1])
    item.ZOffsetInSlideCoordinateSystem = _decimal(plane.origin_mm[2])


def _slice_thickness(header: Dataset) -> float | None:
    """Thickness of the imaged volume in millimeters, where the slide states one."""
    shared = header.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    thickness = measures[0].get("SliceThickness") if measures else None
    if thickness:
        return float(thickness)
    depth_um = header.get("ImagedVolumeDepth")
    return float(depth_um) / 1000 if depth_um else None


def _decimal(value: float) -> DSfloat:
    """Write a number as a decimal string of at most 16 characters (PS3.5 6.2)."""
    return DSfloat(float(value), auto_format=True)
