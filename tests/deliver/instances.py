"""Small DICOM files to send."""

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from vst_dicom.deliver.files import InstanceFile, SentInstance, read_instance_file

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
STUDY = "2.25.100"


def write_instance(
    folder: Path,
    number: int,
    *,
    sop_class: str = PARAMETRIC_MAP,
    transfer_syntax: str = ExplicitVRLittleEndian,
    n_bytes: int = 1000,
    modality: str = "OT",
) -> InstanceFile:
    """A complete file with the UID 2.25.<1000 + number>, and as many bytes of padding."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = f"2.25.{1000 + number}"
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = f"2.25.{200 + number % 2}"
    dataset.PatientID = "P1"
    dataset.Modality = modality
    dataset.add_new(0xFFFCFFFC, "OB", bytes(n_bytes))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return read_instance_file(path)


def sent(file: InstanceFile) -> SentInstance:
    """How notices refer to a file of `write_instance`."""
    number = int(file.sop_instance_uid.removeprefix("2.25.")) - 1000
    return SentInstance(file.sop_class_uid, file.sop_instance_uid, f"2.25.{200 + number % 2}", STUDY)


def data_set(file: InstanceFile) -> bytes:
    """The bytes behind the file meta information."""
    content = file.path.read_bytes()
    meta_length = int.from_bytes(content[140:144], "little")
    return content[144 + meta_length :]
