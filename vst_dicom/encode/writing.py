"""DICOM files."""

from pathlib import Path

from pydicom import config, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from vst_dicom.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from vst_dicom.files import whole_file

config.settings.buffered_read_size = 1 << 20  # pixels go to the disk in pieces of so many bytes, not of 8192


def write_dicom(dataset: Dataset, path: Path, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> None:
    """Write an object as a DICOM file (PS3.10 7); the same object always gives the same bytes.

    Parameters
    ----------
    dataset
        The object; its file meta information is made here. Compressed pixel data are encapsulated already.
    path
        Where to.
    transfer_syntax_uid
        Explicit VR Little Endian, or one that compresses pixel data (PS3.5 A.4).
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    with whole_file(path) as temporary:
        dcmwrite(temporary, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)
