"""What can be looked at: the instances of accepted slides that are on disk, and the objects of published results.

A slide is accepted once a job was made for it. Label, overview and thumbnail images, which may show a patient's name,
are no part of the catalog.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, FromClause, Select, String, Subquery, and_, exists, func, literal, select, union_all

from vst_dicom.ledger.database import utc
from vst_dicom.ledger.tables import instances, jobs, result_instances, shadows, slides


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies.

    Parameters
    ----------
    job_key
        Of the result to which it belongs; empty for a received instance.
    file_name
        In the folder of that result, or in the spool.
    """

    job_key: str
    file_name: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which UIDs a search names; an empty tuple names all.

    Parameters
    ----------
    study_instance_uids, series_instance_uids, sop_instance_uids, sop_class_uids
        Of instances; studies and series are found by the instances in them.
    """

    study_instance_uids: tuple[str, ...] = ()
    series_instance_uids: tuple[str, ...] = ()
    sop_instance_uids: tuple[str, ...] = ()
    sop_class_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogStudy:
    """A study, the place of one of its instances, and how many there are."""

    study_instance_uid: str
    place: Place
    n_series: int
    n_instances: int


@dataclass(frozen=True, slots=True)
class CatalogSeries:
    """A series, the place of one of its instances, and how many there are."""

    study_instance_uid: str
    series_instance_uid: str
    place: Place
    n_instances: int


@dataclass(frozen=True, slots=True)
class CatalogInstance:
    """An instance and where it lies."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    place: Place


@dataclass(frozen=True, slots=True)
class CatalogResult:
    """A published result.

    Parameters
    ----------
    key
        Of the job.
    created_at
        The date that its objects carry, UTC.
    bundle
        What predicted it.
    study_instance_uid, series_instance_uid
        Of the slide.
    """

    key: str
    created_at: datetime
    bundle: str
    study_instance_uid: str
    series_instance_uid: str


_IS_PUBLISHED: Final = and_(
    jobs.c.copies_removed_at.is_(None),
    exists().where(result_instances.c.job_key == jobs.c.key).correlate(jobs),
    ~exists().where(shadows.c.job_key == jobs.c.key).correlate(jobs),
)
"""Whether the result of a job is whole, on disk, and meant to be used: its objects are recorded when it is done."""


def _objects() -> Subquery:
    """All that the catalog holds, one row each; of several revisions the last that was grouped."""
    later = instances.alias()
    received = select(
        instances.c.study_instance_uid,
        instances.c.series_instance_uid,
        instances.c.sop_instance_uid,
        instances.c.sop_class_uid,
        literal("").label("job_key"),
        instances.c.file_name,
        instances.c.received_at.label("since"),
    ).where(
        instances.c.removed_at.is_(None),
        instances.c.is_own.is_(False),
        instances.c.facts["is_volume"].as_boolean().is_(True),
        exists().where(jobs.c.slide_id == instances.c.slide_id),
        ~exists().where(
            later.c.sop_instance_uid == instances.c.sop_instance_uid,
            later.c.revision > instances.c.revision,
            later.c.slide_id.is_not(None),
        ),
    )
    made = (
        select(
            result_instances.c.study_instance_uid,
            result_instances.c.series_instance_uid,
            result_instances.c.sop_instance_uid,
            result_instances.c.sop_class_uid,
            result_instances.c.job_key,
            result_instances.c.file_name,
            jobs.c.created_at.label("since"),
        )
        .join(jobs, jobs.c.key == result_instances.c.job_key)
        .where(_IS_PUBLISHED)
    )
    return union_all(received, made).subquery("objects")


_OBJECTS: Final = _objects()
_INNER: Final = _OBJECTS.alias("wanted")
_PLACE: Final = func.min(_OBJECTS.c.job_key + literal("/", String) + _OBJECTS.c.file_name)
"""Place of one instance, of the slide where there is one: its job key is empty and sorts first."""


def list_studies(connection: Connection, wanted: Wanted, *, limit: int, offset: int = 0) -> list[CatalogStudy]:
    """Find studies, those with the latest instances first."""
    query = (
        select(
            _OBJECTS.c.study_instance_uid,
            _PLACE.label("place"),
            func.count(_OBJECTS.c.series_instance_uid.distinct()).label("n_series"),
            func.count().label("n_instances"),
        )
        .group_by(_OBJECTS.c.study_instance_uid)
        .order_by(func.max(_OBJECTS.c.since).desc(), _OBJECTS.c.study_instance_uid)
    )
    holding = _narrow(select(_INNER.c.study_instance_uid), wanted, _INNER)
    query = query.where(_OBJECTS.c.study_instance_uid.in_(holding)).limit(limit).offset(offset)
    rows = connection.execute(query)
    return [CatalogStudy(row.study_instance_uid, _place(row.place), row.n_series, row.n_instances) for row in rows]


def list_series(connection: Connection, wanted: Wanted, *, limit: int, offset: int = 0) -> list[CatalogSeries]:
    """Find series, each study's together, the slide's before those of its results."""
    query = (
        select(
            _OBJECTS.c.study_instance_uid,
            _OBJECTS.c.series_instance_uid,
            _PLACE.label("place"),
            func.count().label("n_instances"),
        )
        .group_by(_OBJECTS.c.study_instance_uid, _OBJECTS.c.series_instance_uid)
        .order_by(
            _OBJECTS.c.study_instance_uid,
            func.min(_OBJECTS.c.job_key) != "",
            func.min(_OBJECTS.c.since),
            _OBJECTS.c.series_instance_uid,
        )
    )
    holding = _narrow(select(_INNER.c.series_instance_uid), wanted, _INNER)
    in_studies = Wanted(study_instance_uids=wanted.study_instance_uids)
    query = _narrow(query, in_studies, _OBJECTS).where(_OBJECTS.c.series_instance_uid.in_(holding))
    rows = connection.execute(query.limit(limit).offset(offset))
    return [
        CatalogSeries(row.study_instance_uid, row.series_instance_uid, _place(row.place), row.n_instances)
        for row in rows
    ]


def list_instances(connection: Connection, wanted: Wanted, *, limit: int, offset: int = 0) -> list[CatalogInstance]:
    """Find instances, each series' together."""
    query = select(_OBJECTS).order_by(
        _OBJECTS.c.study_instance_uid, _OBJECTS.c.series_instance_uid, _OBJECTS.c.sop_instance_uid
    )
    rows = connection.execute(_narrow(query, wanted, _OBJECTS).limit(limit).offset(offset))
    return [
        CatalogInstance(
            row.study_instance_uid,
            row.series_instance_uid,
            row.sop_instance_uid,
            row.sop_class_uid,
            Place(row.job_key, row.file_name),
        )
        for row in rows
    ]


def list_results(
    connection: Connection, *, series_instance_uid: str = "", key: str = "", limit: int = 100, offset: int = 0
) -> list[CatalogResult]:
    """Find published results, the newest first; of one slide's series, of one key, or all."""
    query = (
        select(
            jobs.c.key,
            func.coalesce(jobs.c.started_at, jobs.c.created_at).label("created_at"),
            jobs.c.bundle,
            slides.c.study_instance_uid,
            slides.c.series_instance_uid,
        )
        .join(slides, slides.c.id == jobs.c.slide_id)
        .where(_IS_PUBLISHED)
        .order_by(jobs.c.created_at.desc(), jobs.c.key)
    )
    if series_instance_uid:
        query = query.where(slides.c.series_instance_uid == series_instance_uid)
    if key:
        query = query.where(jobs.c.key == key)
    return [
        CatalogResult(row.key, utc(row.created_at), row.bundle, row.study_instance_uid, row.series_instance_uid)
        for row in connection.execute(query.limit(limit).offset(offset))
    ]


def _narrow(query: Select[Any], wanted: Wanted, objects: FromClause) -> Select[Any]:
    for column, uids in (
        (objects.c.study_instance_uid, wanted.study_instance_uids),
        (objects.c.series_instance_uid, wanted.series_instance_uids),
        (objects.c.sop_instance_uid, wanted.sop_instance_uids),
        (objects.c.sop_class_uid, wanted.sop_class_uids),
    ):
        if uids:
            query = query.where(column.in_(uids))
    return query


def _place(text: str) -> Place:
    job_key, _, file_name = text.partition("/")
    return Place(job_key, file_name)
