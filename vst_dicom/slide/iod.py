"""Data sets of the VL Whole Slide Microscopy Image IOD without pixel data (PS3.3 A.32.8)."""

import struct
from collections.abc import Sequence as Items
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import VLWholeSlideMicroscopyImageStorage
from pydicom.valuerep import format_number_as_ds

from vst_dicom.dicom.color import as_input_profile, srgb_profile
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing, SlidePlane
from vst_dicom.slide.pyramid import LossyStep, PyramidPlan, upright_plane
from vst_dicom.slide.specimen import add_specimen, code_item

OPTICAL_PATH: Final = "1"
"""Optical Path Identifier (0048,0106) of the only path."""

_DEPTH_UM: Final = 1.0
"""Imaged Volume Depth (0048,0003) must have a value; the depth of one focal plane is about this, and not recorded."""

_LABEL_WIDTH_MM: Final = 25.0
_LABEL_Y_MM: Final = 50.0
"""The label is the last third of the glass, as wide as it (ISO 8037-1); its exact place is not recorded."""


def level_header(plan: PyramidPlan, level: int, compression: Items[LossyStep] = ()) -> Dataset:
    """Build the data set of one level.

    Parameters
    ----------
    plan
        What the pyramid will be.
    level
        Which level, 0 the largest.
    compression
        All lossy steps of its pixels; without them, as before encoding, ratio and method are absent.
    """
    image_type = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"] if level else ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset = _slide_header(plan, f"level-{level}", level + 1)
    _add_geometry(dataset, plan.level_sizes[level], plan.level_plane(level), plan.frame_size, image_type)
    dataset.ImagedVolumeWidth = _single(plan.size.n_columns * plan.plane.spacing.column_mm)
    dataset.ImagedVolumeHeight = _single(plan.size.n_rows * plan.plane.spacing.row_mm)
    dataset.SpecimenLabelInImage = "NO"
    dataset.BurnedInAnnotation = "NO"
    dataset.PyramidUID = plan.image_uid("pyramid")
    _add_compression(dataset, compression)
    return dataset


def label_header(plan: PyramidPlan, size: MatrixSize, compression: Items[LossyStep] = ()) -> Dataset:
    """Build the data set of the label image, which shows text that may name the patient (PS3.3 C.8.12.8)."""
    dataset = _slide_header(plan, "label", len(plan.level_sizes) + 1)
    side_mm = _LABEL_WIDTH_MM / max(size.n_rows, size.n_columns)
    x_mm, y_mm, z_mm = upright_plane(PixelSpacing(side_mm, side_mm)).origin_mm
    plane = SlidePlane(
        (x_mm, y_mm + _LABEL_Y_MM, z_mm), upright_plane(plan.plane.spacing).orientation, PixelSpacing(side_mm, side_mm)
    )
    _add_geometry(dataset, size, plane, size, ["ORIGINAL", "PRIMARY", "LABEL", "NONE"])
    dataset.ImagedVolumeWidth = _single(size.n_columns * side_mm)
    dataset.ImagedVolumeHeight = _single(size.n_rows * side_mm)
    dataset.SpecimenLabelInImage = "YES"
    dataset.BurnedInAnnotation = "YES"
    dataset.BarcodeValue = ""
    dataset.LabelText = ""
    _add_compression(dataset, compression)
    return dataset


def _slide_header(plan: PyramidPlan, kind: str, instance_number: int) -> Dataset:
    """Modules that all images of the series share."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    dataset.SOPInstanceUID = plan.image_uid(kind)
    dataset.InstanceNumber = instance_number
    _add_patient_and_study(dataset, plan)
    _add_equipment(dataset, plan)
    dataset.Modality = "SM"
    dataset.SeriesInstanceUID = plan.image_uid("series")
    dataset.SeriesNumber = 1
    dataset.FrameOfReferenceUID = plan.slide_uid("frame of reference")
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    dataset.ContentDate, dataset.ContentTime = _date(plan.now), _time(plan.now)
    dataset.AcquisitionDateTime = _date_time(plan.description.acquired or plan.now)
    dataset.AcquisitionContextSequence = Sequence()
    organization = Dataset()
    organization.DimensionOrganizationUID = plan.image_uid("dimension organization")
    dataset.DimensionOrganizationSequence = Sequence([organization])
    add_specimen(dataset, plan)
    _add_optical_path(dataset, plan)
    return dataset


def _add_patient_and_study(dataset: Dataset, plan: PyramidPlan) -> None:
    description = plan.description
    birth = description.patient_birth_date
    dataset.PatientName = description.patient_name
    dataset.PatientID = description.patient_id
    dataset.PatientBirthDate = birth.strftime("%Y%m%d") if birth else ""
    dataset.PatientSex = description.patient_sex
    dataset.StudyInstanceUID = plan.study_instance_uid
    dataset.StudyDate = _date(description.acquired) if description.acquired else ""
    dataset.StudyTime = _time(description.acquired) if description.acquired else ""
    dataset.StudyID = description.study_id
    dataset.AccessionNumber = description.accession_number
    dataset.ReferringPhysicianName = ""
    if description.study_description:
        dataset.StudyDescription = description.study_description


def _add_equipment(dataset: Dataset, plan: PyramidPlan) -> None:
    dataset.Manufacturer = plan.description.manufacturer
    dataset.ManufacturerModelName = plan.description.model_name
    dataset.DeviceSerialNumber = plan.description.device_serial_number
    dataset.SoftwareVersions = list(plan.description.software_versions)


def _add_optical_path(dataset: Dataset, plan: PyramidPlan) -> None:
    """Optical Path module (PS3.3 C.8.12.5): transmitted white light."""
    path = Dataset()
    path.OpticalPathIdentifier = OPTICAL_PATH
    path.OpticalPathDescription = "Brightfield"
    path.IlluminationTypeCodeSequence = Sequence([code_item("111744", "DCM", "Brightfield illumination")])
    path.IlluminationColorCodeSequence = Sequence([code_item("414298005", "SCT", "Full Spectrum")])
    path.ICCProfile = as_input_profile(plan.icc_profile) if plan.icc_profile else srgb_profile()
    if not plan.icc_profile:
        path.ColorSpace = "SRGB"
    dataset.OpticalPathSequence = Sequence([path])
    dataset.NumberOfOpticalPaths = 1
    dataset.TotalPixelMatrixFocalPlanes = 1
    dataset.FocusMethod = "AUTO"
    dataset.ExtendedDepthOfField = "NO"
    dataset.VolumetricProperties = "VOLUME"


def _add_geometry(
    dataset: Dataset, size: MatrixSize, plane: SlidePlane, frame_size: MatrixSize, image_type: list[str]
) -> None:
    """Pixels, their total matrix, its place and the functional groups that all frames share."""
    grid = size.divided_by(frame_size)
    dataset.ImageType = image_type
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PlanarConfiguration = 0
    dataset.NumberOfFrames = grid.n_rows * grid.n_columns
    dataset.Rows, dataset.Columns = frame_size.n_rows, frame_size.n_columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = size.n_rows, size.n_columns
    dataset.ImagedVolumeDepth = _DEPTH_UM
    dataset.ImageOrientationSlide = [_decimal(value) for value in plane.orientation]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = _decimal(plane.origin_mm[0])
    origin.YOffsetInSlideCoordinateSystem = _decimal(plane.origin_mm[1])
    if plane.origin_mm[2]:
        origin.ZOffsetInSlideCoordinateSystem = _decimal(plane.origin_mm[2])
    dataset.TotalPixelMatrixOriginSequence = Sequence([origin])
    dataset.DimensionOrganizationType = "TILED_FULL"
    dataset.SharedFunctionalGroupsSequence = Sequence([_shared_groups(plane.spacing, image_type)])


def _shared_groups(spacing: PixelSpacing, image_type: list[str]) -> Dataset:
    measures, frame_type, path = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [_decimal(spacing.row_mm), _decimal(spacing.column_mm)]
    measures.SliceThickness = _decimal(_DEPTH_UM / 1000)
    frame_type.FrameType = image_type
    path.OpticalPathIdentifier = OPTICAL_PATH
    groups = Dataset()
    groups.PixelMeasuresSequence = Sequence([measures])
    groups.WholeSlideMicroscopyImageFrameTypeSequence = Sequence([frame_type])
    groups.OpticalPathIdentificationSequence = Sequence([path])
    return groups


def _add_compression(dataset: Dataset, steps: Items[LossyStep]) -> None:
    dataset.LossyImageCompression = "01"
    if steps:
        dataset.LossyImageCompressionRatio = [f"{step.ratio:.2f}" for step in steps]
        dataset.LossyImageCompressionMethod = [step.method for step in steps]


def _decimal(value: float) -> str:
    """Format a decimal string of at most 16 characters."""
    return str(format_number_as_ds(float(value)))


def _single(value: float) -> float:
    """Round to what a single-precision attribute holds, so that a header equals itself read back."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def _date(moment: datetime) -> str:
    return moment.strftime("%Y%m%d")


def _time(moment: datetime) -> str:
    return moment.strftime("%H%M%S")


def _date_time(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S%z")
