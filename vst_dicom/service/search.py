"""Search studies, series and instances (QIDO-RS, PS3.18 10.6)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from vst_dicom.domain.errors import InputError
from vst_dicom.ledger.catalog import (
    CatalogInstance,
    CatalogSeries,
    CatalogStudy,
    Place,
    Wanted,
    list_instances,
    list_series,
    list_studies,
)
from vst_dicom.service.archive import Archive
from vst_dicom.service.dicom_json import Json
from vst_dicom.service.query import INSTANCE_TAGS, MODALITIES_IN_STUDY, SERIES_TAGS, STUDY_TAGS, Query

_PAGE: Final = 100
_MOST_COMPARED: Final = 20_000
"""Headers that one search compares at most."""

_MOST_SERIES: Final = 10_000

_INSTANCE_AVAILABILITY: Final = "00080056"
_MODALITY: Final = "00080060"
_RETRIEVE_URL: Final = "00081190"
_STUDY_SERIES: Final = "00201206"
_STUDY_INSTANCES: Final = "00201208"
_SERIES_INSTANCES: Final = "00201209"
_UIDS: Final = ("0020000D", "0020000E", "00080018")

_log = structlog.get_logger(__name__)

_Found = TypeVar("_Found", CatalogStudy, CatalogSeries, CatalogInstance)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found.

    Parameters
    ----------
    rows
        In the DICOM JSON model.
    has_more
        Whether there is more than the limit allows.
    """

    rows: list[Json]
    has_more: bool


class Search:
    """Answers one search.

    Parameters
    ----------
    archive
        What is searched.
    base_url
        Where DICOMweb is served.
    query
        What is asked for.
    """

    def __init__(self, archive: Archive, base_url: str, query: Query) -> None:
        self._archive = archive
        self._base_url = base_url
        self._query = query

    def studies(self) -> Answer:
        """Search studies, those with the latest instances first."""

        def describe(page: Sequence[CatalogStudy]) -> Iterator[Json]:
            modalities = self._modalities(tuple(study.study_instance_uid for study in page))
            for study in page:
                yield {
                    **self._header(study.place),
                    **self._place_in_web(study.study_instance_uid),
                    MODALITIES_IN_STUDY: {"vr": "CS", "Value": modalities[study.study_instance_uid]},
                    _STUDY_SERIES: {"vr": "IS", "Value": [study.n_series]},
                    _STUDY_INSTANCES: {"vr": "IS", "Value": [study.n_instances]},
                }

        return self._collect(list_studies, describe, STUDY_TAGS)

    def series(self, *, with_study: bool) -> Answer:
        """Search series; those found in all studies carry the attributes of their study too."""

        def describe(page: Sequence[CatalogSeries]) -> Iterator[Json]:
            for series in page:
                yield {
                    **self._header(series.place),
                    **self._place_in_web(series.study_instance_uid, series.series_instance_uid),
                    _SERIES_INSTANCES: {"vr": "IS", "Value": [series.n_instances]},
                }

        return self._collect(list_series, describe, SERIES_TAGS | (STUDY_TAGS if with_study else frozenset()))

    def instances(self, *, with_study: bool, with_series: bool) -> Answer:
        """Search instances; attributes of the levels that the request does not name are added."""

        def describe(page: Sequence[CatalogInstance]) -> Iterator[Json]:
            for one in page:
                uids = one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid
                yield {**self._header(one.place), **self._place_in_web(*uids)}

        tags = (
            INSTANCE_TAGS | (STUDY_TAGS if with_study else frozenset()) | (SERIES_TAGS if with_series else frozenset())
        )
        return self._collect(list_instances, describe, tags)

    def _collect(
        self,
        find: Callable[..., list[_Found]],
        describe: Callable[[Sequence[_Found]], Iterator[Json]],
        tags: frozenset[int],
    ) -> Answer:
        """Collect rows: where UIDs alone decide the ledger skips, otherwise headers are compared one by one."""
        query = self._query
        rows: list[Json] = []
        n_skip, start = (query.offset, 0) if query.keys else (0, query.offset)
        size = _PAGE if query.keys else min(_PAGE, query.limit + 1)
        for offset in range(start, start + _MOST_COMPARED, size):
            with self._archive.connect() as connection:
                page = find(connection, query.wanted, limit=size, offset=offset)
            for row in filter(query.matches, describe(page)):
                if n_skip:
                    n_skip -= 1
                elif len(rows) == query.limit:
                    return Answer(rows, has_more=True)
                else:
                    rows.append(self._shown(row, tags))
            if len(page) < size:
                return Answer(rows, has_more=False)
        return Answer(rows, has_more=True)

    def _header(self, place: Place) -> Json:
        """Read what a header says; nothing if it cannot be read, so that one broken file hides no other."""
        try:
            return self._archive.attributes(place, None if self._query.include_all else self._query.tags)
        except InputError as error:
            _log.warning("header cannot be read", code=error.code, job=place.job_key, file=place.file_name)
            return {}

    def _shown(self, row: Json, tags: frozenset[int]) -> Json:
        if self._query.include_all:
            return row
        shown = tags | self._query.include
        return {key: row[key] for key in sorted(row) if key in _COMPUTED or int(key, 16) in shown}

    def _place_in_web(self, *uids: str) -> Json:
        levels = zip(("studies", "series", "instances"), uids, strict=False)
        url = "/".join([self._base_url, *(f"{level}/{uid}" for level, uid in levels)])
        return {
            **{tag: {"vr": "UI", "Value": [uid]} for tag, uid in zip(_UIDS, uids, strict=False)},
            _INSTANCE_AVAILABILITY: {"vr": "CS", "Value": ["ONLINE"]},
            _RETRIEVE_URL: {"vr": "UR", "Value": [url]},
        }

    def _modalities(self, study_instance_uids: tuple[str, ...]) -> dict[str, list[Any]]:
        """Modalities in each study: one header of each series says its own."""
        found: dict[str, set[str]] = {uid: set() for uid in study_instance_uids}
        if study_instance_uids:
            with self._archive.connect() as connection:
                series = list_series(connection, Wanted(study_instance_uids), limit=_MOST_SERIES)
            for one in series:
                header = self._header(one.place)
                found[one.study_instance_uid].update(header.get(_MODALITY, {}).get("Value", []))
        return {uid: sorted(modalities) for uid, modalities in found.items()}


_COMPUTED: Final = frozenset(
    {
        _INSTANCE_AVAILABILITY,
        _RETRIEVE_URL,
        MODALITIES_IN_STUDY,
        _STUDY_SERIES,
        _STUDY_INSTANCES,
        _SERIES_INSTANCES,
    }
)
