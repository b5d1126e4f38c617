"""What is served: the catalog of the ledger, and the files behind it, each opened once for many requests."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Final

from cachetools import LRUCache, TTLCache, cached
from pydicom.dataset import Dataset
from sqlalchemy import Connection, Engine

from vst_dicom.dicom.whole_slide import VL_WHOLE_SLIDE, is_volume
from vst_dicom.domain.errors import MissingInputError
from vst_dicom.ledger.catalog import CatalogInstance, Place, Wanted, list_instances
from vst_dicom.ledger.database import for_reading
from vst_dicom.service.dicom_json import Json, encode_metadata, select_attributes
from vst_dicom.service.frames import FrameReader, read_frames
from vst_dicom.service.part10 import Part10File
from vst_dicom.service.query import SUMMARY_TAGS
from vst_dicom.study.header import read_header

_OPEN_FILES: Final = 256
_SUMMARIES: Final = 8192
_METADATA_BYTES: Final = 64 << 20
_FOUND: Final = 4096
_FOUND_S: Final = 2.0
"""How long the ledger's answer about one instance stands; frames of a slide come by the thousand."""

_PAGE: Final = 200
_BASE: Final = "urn:vst-dicom:base"
"""Stands in remembered metadata for the address of this server, which is not the same for all who ask."""


class Archive:
    """Finds and opens instances.

    Parameters
    ----------
    database
        The ledger.
    spool, results
        Folders of received instances and of results.
    """

    def __init__(self, database: Engine, spool: Path, results: Path) -> None:
        self._database = for_reading(database)
        self._spool, self._results = spool, results
        self.find = cached(TTLCache[object, CatalogInstance](_FOUND, _FOUND_S), lock=Lock())(self._find)
        self.open = cached(LRUCache[object, Part10File](_OPEN_FILES), lock=Lock())(self._open)
        self.open_frames = cached(LRUCache[object, FrameReader](_OPEN_FILES), lock=Lock())(self._open_frames)
        self._summary = cached(LRUCache[object, Json](_SUMMARIES), lock=Lock())(self._read_summary)
        self._encoded = cached(LRUCache[object, bytes](_METADATA_BYTES, len), lock=Lock())(self._encode)

    def connect(self) -> AbstractContextManager[Connection]:
        """Begin to read the ledger."""
        return self._database.begin()

    def result_folder(self, key: str) -> Path:
        """Folder of a published result, by the key that the ledger has."""
        return self._results / key

    def _find(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> CatalogInstance:
        """Find one instance; the answer is remembered for two seconds.

        Raises
        ------
        MissingInputError
            If the catalog does not have it.
        """
        wanted = Wanted((study_instance_uid,), (series_instance_uid,), (sop_instance_uid,))
        with self.connect() as connection:
            found = list_instances(connection, wanted, limit=1)
        if not found:
            raise MissingInputError("there is no such instance")
        return found[0]

    def find_all(self, wanted: Wanted) -> Iterator[CatalogInstance]:
        """Find instances, page by page.

        Raises
        ------
        MissingInputError
            If there is none.
        """
        offset = 0
        while True:
            with self.connect() as connection:
                page = list_instances(connection, wanted, limit=_PAGE, offset=offset)
            if not page and not offset:
                raise MissingInputError("there is no such study or series")
            yield from page
            if len(page) < _PAGE:
                return
            offset += _PAGE

    def attributes(self, place: Place, tags: frozenset[int] | None) -> Json:
        """Read attributes of a header that searches ask for, all if None; the usual ones are remembered."""
        if tags is not None and tags <= SUMMARY_TAGS:
            return self._summary(place)
        header = self._read_header(place)
        return select_attributes(header, header.keys() if tags is None else tags | SUMMARY_TAGS)

    def metadata(self, instance: CatalogInstance, base_url: str) -> bytes:
        """Encode the metadata of an instance as a JSON object; `base_url` is where DICOMweb is served."""
        return self._encoded(instance).replace(_BASE.encode(), json.dumps(base_url)[1:-1].encode())

    def _path(self, place: Place) -> Path:
        """Path of a file; its name comes from the ledger, never from a request."""
        folder = self._results / place.job_key if place.job_key else self._spool
        return folder / place.file_name

    def _open(self, place: Place) -> Part10File:
        path = self._path(place)
        file = Part10File(path)
        if file.sop_class_uid == VL_WHOLE_SLIDE and not is_volume(read_header(path)):
            raise MissingInputError("images of labels and overviews are not served")
        return file

    def _open_frames(self, place: Place) -> FrameReader:
        return read_frames(self.open(place))

    def _read_summary(self, place: Place) -> Json:
        return select_attributes(self._read_header(place), SUMMARY_TAGS)

    def _read_header(self, place: Place) -> Dataset:
        try:
            return read_header(self._path(place))
        except OSError as error:
            raise MissingInputError("a file is no longer on disk; ask again") from error

    def _encode(self, instance: CatalogInstance) -> bytes:
        url = (
            f"{_BASE}/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
            f"/instances/{instance.sop_instance_uid}/bulkdata"
        )
        return encode_metadata(self.open(instance.place), url).encode("utf-8", "replace")
