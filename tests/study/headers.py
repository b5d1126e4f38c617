"""Headers of whole slide instances for tests of grouping and rules: no pixels, everything changeable."""

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

VL_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"

STUDY = "1.2.826.0.1.3680043.8.498.1"
SERIES = "1.2.826.0.1.3680043.8.498.2"


def slide_header(
    uid: str, *, size: int = 1024, flavor: str = "VOLUME", derived: str = "NONE", **values: object
) -> Dataset:
    """Header of a fully tiled image of `size` x `size` pixels in frames of 256 x 256; a value of None removes one."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = VL_WHOLE_SLIDE, uid
    header.StudyInstanceUID, header.SeriesInstanceUID = STUDY, SERIES
    header.PatientName, header.PatientID = "Doe^Jane", "PID-4711"
    header.Modality, header.ContainerIdentifier = "SM", "S1"
    header.ImageType = ["ORIGINAL", "PRIMARY", flavor, derived]
    header.TotalPixelMatrixRows = header.TotalPixelMatrixColumns = size
    header.Rows = header.Columns = 256
    header.NumberOfFrames = (-(-size // 256)) ** 2
    header.DimensionOrganizationType = "TILED_FULL"
    for keyword, value in values.items():
        if value is None:
            del header[keyword]
        else:
            setattr(header, keyword, value)
    return header


def part_header(uid: str, number: int | None, *, total: int | None, first_frame: int, n_frames: int) -> Dataset:
    """Header of a part of an image of 16 frames."""
    header = slide_header(
        uid, NumberOfFrames=n_frames, ConcatenationUID="1.2.3.9", ConcatenationFrameOffsetNumber=first_frame
    )
    if number is not None:
        header.InConcatenationNumber = number
    if total is not None:
        header.InConcatenationTotalNumber = total
    return header


def stained(header: Dataset, code: str, meaning: str) -> Dataset:
    """Say in the specimen preparation with what a slide was stained (PS3.16 TID 8003)."""
    using = Dataset()
    using.ValueType = "CODE"
    using.ConceptNameCodeSequence = [_code("424361007", "Using substance")]
    using.ConceptCodeSequence = [_code(code, meaning)]
    step = Dataset()
    step.SpecimenPreparationStepContentItemSequence = [using]
    specimen = Dataset()
    specimen.SpecimenPreparationSequence = [step]
    header.SpecimenDescriptionSequence = [specimen]
    return header


def painted(header: Dataset, *, manufacturer: str = "vst_dicom", purpose: str = "109102") -> Dataset:
    """Say that a product processed the image, as results of this product do (PS3.3 C.12.1.1.5)."""
    code, equipment = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = purpose, "DCM", "Processing Equipment"
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = manufacturer, [code]
    header.ContributingEquipmentSequence = [equipment]
    return header


def write_header(path: Path, header: Dataset) -> Path:
    """Write a Part 10 file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(str(header.SOPClassUID))
    meta.MediaStorageSOPInstanceUID = UID(str(header.SOPInstanceUID))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, header, enforce_file_format=True)
    return path


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code
