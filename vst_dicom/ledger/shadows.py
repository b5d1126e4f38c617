"""Rows of `shadows`: jobs that run another bundle beside a job, for comparison; what they make goes nowhere."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from vst_dicom.ledger.jobs import Job, create_job
from vst_dicom.ledger.tables import shadows

SHADOW_PRIORITY: Final = 1000
"""After every job whose result somebody waits for."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """One row.

    Parameters
    ----------
    job_key, of_key
        The job that runs beside, and the one whose result is used.
    figures
        How far both results agree; None until it is done.
    """

    job_key: str
    of_key: str
    figures: Mapping[str, Any] | None


def create_shadow(connection: Connection, of: Job, bundle: str, bundle_sha256: str, now: datetime) -> bool:
    """Write a queued job that runs another bundle on the slide of a job; False if there is one already.

    Parameters
    ----------
    connection
        Ledger.
    of
        The job whose result is used.
    bundle, bundle_sha256
        What runs beside, by name and by the hash of its manifest.
    now
        The time, UTC.
    """
    key = hashlib.sha256(f"shadow {of.key} {bundle_sha256}".encode()).hexdigest()
    created = create_job(
        connection,
        key=key,
        slide_id=of.slide_id,
        predecessor_key=None,
        instance_ids=of.instance_ids,
        bundle=bundle,
        genes=None,
        destinations=(),
        priority=SHADOW_PRIORITY,
        now=now,
    )
    if created:
        connection.execute(insert(shadows).values(job_key=key, of_key=of.key))
    return created


def read_shadow(connection: Connection, job_key: str) -> Shadow | None:
    """Read what a job runs beside; None for a job whose result is used itself."""
    row = connection.execute(select(shadows).where(shadows.c.job_key == job_key)).one_or_none()
    return None if row is None else Shadow(row.job_key, row.of_key, row.figures)


def list_shadows(connection: Connection, of_key: str) -> list[Shadow]:
    """Read what runs beside a job."""
    rows = connection.execute(select(shadows).where(shadows.c.of_key == of_key).order_by(shadows.c.job_key))
    return [Shadow(row.job_key, row.of_key, row.figures) for row in rows]


def record_figures(connection: Connection, job_key: str, figures: Mapping[str, Any]) -> None:
    """Note how far the result of a shadow agrees with the one that is used."""
    connection.execute(update(shadows).where(shadows.c.job_key == job_key).values(figures=dict(figures)))
