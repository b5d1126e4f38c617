"""Bring spool and database together at the start, after a crash at any line."""

import os
from typing import Final

import structlog
from pydicom.filereader import read_file_meta_info

from vst_dicom.dicom.attributes import read_text, read_uid
from vst_dicom.domain.errors import DamagedInstanceError, InputError
from vst_dicom.ledger.instances import Outcome, ReceivedInstance, Revision, record_instance, recorded_file_names
from vst_dicom.receive.spool import FileLock, find_data_set
from vst_dicom.receive.storing import Storage
from vst_dicom.receive.walk import check_data_set

_log = structlog.get_logger()

_AE_TITLE_CHARACTERS: Final = 16


def recover(storage: Storage) -> int:
    """Remove what was half received, and record whole files that have no row; say how many rows were made.

    A whole file without a row was never acknowledged, unless the database was lost: then this brings its rows back.
    Files that another receiver on the same spool has open are left alone.
    """
    n_swept = storage.spool.sweep()
    with storage.engine.connect() as connection:
        known = recorded_file_names(connection)
    n_recorded = 0
    for file_name in storage.spool.whole_files():
        if file_name not in known:
            with FileLock(storage.spool.path(file_name)) as descriptor:
                n_recorded += descriptor is not None and _record(storage, file_name, descriptor)
    if n_swept or n_recorded:
        _log.info("spool recovered", n_swept=n_swept, n_recorded=n_recorded)
    return n_recorded


def _record(storage: Storage, file_name: str, descriptor: int) -> bool:
    path = storage.spool.path(file_name)

    def is_same(known: Revision) -> bool:
        return known.file_name == file_name or (
            known.transfer_syntax_uid == instance.transfer_syntax_uid
            and storage.is_same(known, descriptor, instance.n_bytes)
        )

    try:
        instance = _describe(file_name, path, descriptor)
    except InputError as error:
        _log.warning("file without a row removed", file_name=file_name, reason=str(error))
        path.unlink()
        return False
    recorded = record_instance(storage.engine, instance, is_same, storage.now())
    if recorded.outcome is Outcome.DUPLICATE:
        with storage.engine.connect() as connection:
            is_needed = file_name in recorded_file_names(connection)
        if not is_needed:
            path.unlink()
        return False
    return True


def _describe(file_name: str, path: os.PathLike[str], descriptor: int) -> ReceivedInstance:
    start, stop = find_data_set(descriptor), os.fstat(descriptor).st_size
    try:
        meta = read_file_meta_info(path)
    except Exception as error:
        raise DamagedInstanceError("the file meta information cannot be read") from error
    transfer_syntax_uid = read_uid(meta, "TransferSyntaxUID")
    identity = check_data_set(descriptor, start, stop, transfer_syntax_uid)
    return ReceivedInstance(
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=identity.sop_class_uid,
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        file_name=file_name,
        n_bytes=stop - start,
        calling_ae=read_text(meta, "SourceApplicationEntityTitle")[:_AE_TITLE_CHARACTERS],
    )
