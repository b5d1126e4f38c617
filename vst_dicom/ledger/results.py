"""Rows of `result_instances`: the DICOM objects of results, each written once and for good."""

from collections.abc import Collection

from sqlalchemy import Connection, insert, select

from vst_dicom.domain.errors import EncodingError
from vst_dicom.ledger.deliveries import ResultInstance, list_result_instances
from vst_dicom.ledger.tables import result_instances


def record_result(connection: Connection, job_key: str, instances: Collection[ResultInstance]) -> bool:
    """Write the DICOM objects of a job's result, or see that they are those written before.

    Returns
    -------
    bool
        False if the same result was written before.

    Raises
    ------
    EncodingError
        If an object of the same UID, or another result of the job, was written before: what may have been sent never
        changes.
    """
    before = {instance.sop_instance_uid: instance for instance in list_result_instances(connection, job_key)}
    if before:
        if before != {instance.sop_instance_uid: instance for instance in instances}:
            msg = f"the result of job {job_key} differs from the one that was recorded before; its folder was changed"
            raise EncodingError(msg)
        return False
    for instance in instances:
        same = result_instances.c.sop_instance_uid == instance.sop_instance_uid
        if (other := connection.execute(select(result_instances.c.job_key).where(same)).scalar()) is not None:
            msg = f"job {job_key} made an instance with the UID of one of job {other}"
            raise EncodingError(msg)
        row = {
            "sop_instance_uid": instance.sop_instance_uid,
            "job_key": job_key,
            "sop_class_uid": instance.sop_class_uid,
            "series_instance_uid": instance.series_instance_uid,
            "study_instance_uid": instance.study_instance_uid,
            "file_name": instance.file_name,
            "sha256": instance.sha256,
        }
        connection.execute(insert(result_instances).values(row))
    return True
