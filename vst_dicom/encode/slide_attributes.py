"""What an image that was made from a slide takes over from it (PS3.3 C.8.12.4, C.8.12.5)."""

from copy import deepcopy

from pydicom.dataset import Dataset

from vst_dicom.dicom import codes
from vst_dicom.dicom.color import srgb_profile
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.result import SlideResult


def describe_acquisition(dataset: Dataset, header: Dataset, result: SlideResult) -> None:
    """Say how the slide was scanned; what must be said and the slide does not say becomes what is usual.

    Parameters
    ----------
    dataset
        The image.
    header
        Of the slide.
    result
        What the image shows; its time stands in for that of the scan where the slide states none.
    """
    day = header.get("AcquisitionDate")
    scanned = f"{day}{header.get('AcquisitionTime') or ''}" if day else ""
    made = result.created.strftime("%Y%m%d%H%M%S%z")
    dataset.AcquisitionDateTime = header.get("AcquisitionDateTime") or scanned or made
    dataset.AcquisitionContextSequence = list(header.get("AcquisitionContextSequence") or [])
    dataset.VolumetricProperties = header.get("VolumetricProperties") or "VOLUME"
    dataset.FocusMethod = header.get("FocusMethod") or "AUTO"
    dataset.ExtendedDepthOfField = header.get("ExtendedDepthOfField") or "NO"
    for keyword in ("NumberOfFocalPlanes", "DistanceBetweenFocalPlanes"):
        if dataset.ExtendedDepthOfField == "YES" and keyword in header:
            dataset.add(header[keyword])


def describe_optical_path(dataset: Dataset, source: SourceSlide) -> None:
    """Take over the path that was read: uncolored pixels are as they were, and need its color profile."""
    paths = list(source.header.get("OpticalPathSequence") or [])
    read = [path for path in paths if path.get("OpticalPathIdentifier") == source.optical_path] or paths[:1]
    path = deepcopy(read[0]) if read else Dataset()
    path.OpticalPathIdentifier = path.get("OpticalPathIdentifier") or "1"
    if not path.get("IlluminationTypeCodeSequence"):
        path.IlluminationTypeCodeSequence = [codes.BRIGHTFIELD.to_item()]
    if "IlluminationWaveLength" not in path and not path.get("IlluminationColorCodeSequence"):
        path.IlluminationColorCodeSequence = [codes.FULL_SPECTRUM.to_item()]
    if not path.get("ICCProfile"):
        path.ICCProfile = srgb_profile()
    dataset.OpticalPathSequence = [path]
    dataset.NumberOfOpticalPaths = 1
