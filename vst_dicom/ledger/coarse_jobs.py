"""Rows of `coarse_jobs`: jobs that answer quickly from one tile of four, before the job that answers from all."""

import hashlib

from sqlalchemy import Connection, insert, select

from vst_dicom.ledger.jobs import Job, create_job, read_job
from vst_dicom.ledger.tables import coarse_jobs


def coarse_key(key: str) -> str:
    """Name the coarse job that goes before a job."""
    return hashlib.sha256(f"coarse {key}".encode()).hexdigest()


def create_coarse(connection: Connection, before: Job, predecessor_key: str | None) -> None:
    """Write a queued job that answers coarsely, one step ahead in priority, unless it is there.

    Parameters
    ----------
    connection
        Ledger.
    before
        The job that answers from all tiles.
    predecessor_key
        Job that had earlier content of the slide; None if there was none.
    """
    key = coarse_key(before.key)
    created = create_job(
        connection,
        key=key,
        slide_id=before.slide_id,
        predecessor_key=predecessor_key,
        instance_ids=before.instance_ids,
        bundle=before.bundle,
        genes=before.genes,
        destinations=before.destinations,
        priority=max(before.priority - 1, 1),
        now=before.created_at,
    )
    if created:
        connection.execute(insert(coarse_jobs).values(job_key=key, before_key=before.key))


def is_coarse(connection: Connection, key: str) -> bool:
    """Tell whether a job answers from one tile of four only."""
    return connection.execute(select(coarse_jobs.c.job_key).where(coarse_jobs.c.job_key == key)).first() is not None


def find_coarse(connection: Connection, before_key: str) -> Job | None:
    """Read the coarse job that goes before a job; None where there is none."""
    query = select(coarse_jobs.c.job_key).where(coarse_jobs.c.before_key == before_key)
    key = connection.execute(query).scalar_one_or_none()
    return None if key is None else read_job(connection, key)
