"""Ledgers with jobs in them."""

from datetime import UTC, datetime

from sqlalchemy import Engine, insert, select

from vst_dicom.ledger.jobs import Job, create_job, read_job
from vst_dicom.ledger.tables import slides

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def add_job(database: Engine, key: str, bundle: str = "fine", *, priority: int = 100) -> str:
    """Create a job for a slide of its own; returns its key, filled up to 64 characters."""
    key = key.ljust(64, "-")
    with database.begin() as connection:
        slide = connection.execute(
            insert(slides).values(
                group_key=key,
                study_instance_uid="1.2",
                series_instance_uid="1.2.3",
                state="queued",
                first_instance_at=NOW,
                last_instance_at=NOW,
            )
        )
        assert slide.inserted_primary_key is not None
        create_job(
            connection,
            key=key,
            slide_id=slide.inserted_primary_key[0],
            predecessor_key=None,
            instance_ids=[],
            bundle=bundle,
            genes=None,
            destinations=[],
            priority=priority,
            now=NOW,
        )
    return key


def job_of(database: Engine, key: str) -> Job:
    with database.begin() as connection:
        return read_job(connection, key)


def n_closings(database: Engine, key: str) -> int:
    from vst_dicom.ledger.tables import decisions

    with database.begin() as connection:
        return len(connection.execute(select(decisions.c.id).where(decisions.c.job_key == key)).all())
