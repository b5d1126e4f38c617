"""Routes of results: what was made of slides, and its files."""

import json
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from vst_dicom.domain.errors import MissingInputError, ResourceError
from vst_dicom.jobs.results import MANIFEST_FILE
from vst_dicom.ledger.catalog import CatalogResult, list_results
from vst_dicom.service.addresses import API, Base, SeriesFilter, Served
from vst_dicom.service.archive import Archive
from vst_dicom.service.part10 import Span
from vst_dicom.service.ranges import send_bytes
from vst_dicom.service.representations import NO_STORE, immutable_headers, is_known, not_modified
from vst_dicom.service.route_responses import FILE
from vst_dicom.service.zip_stream import stream_zip

router: Final = APIRouter(prefix=f"{API}/results", tags=["Results"])

Key = Annotated[str, InPath(pattern=r"^[0-9a-f]{64}$", description="Key of the result")]
FileName = Annotated[str, InPath(min_length=1, max_length=255, description="Name of one of its files")]
Genes = Annotated[list[str] | None, Query(max_length=1000, description="Only these genes; all that are shown if none")]

_MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".dcm": "application/dicom",
    ".geojson": "application/geo+json",
    ".h5ad": "application/x-hdf5",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".zip": "application/zip",
}
_CHUNK_BYTES: Final = 1 << 20
_OTHER: Final = "application/octet-stream"
_CSV, _ZIP = _MEDIA_TYPES[".csv"], _MEDIA_TYPES[".zip"]
_NAME_LENGTH: Final = 12
"""Of a result's key, in names of files that are made of it."""


class ResultFile(BaseModel):
    """One file of a result."""

    name: str
    media_type: str
    n_bytes: int
    url: str


class Result(BaseModel):
    """What was predicted for a slide. For research use only; not for use in diagnostic procedures."""

    key: str
    created: datetime
    bundle: str
    study_instance_uid: str
    series_instance_uid: str
    files: list[ResultFile]


class Results(BaseModel):
    """Results, the newest first."""

    results: list[Result]


@router.get("")
def list_all(
    archive: Served,
    base: Base,
    response: Response,
    series_instance_uid: SeriesFilter | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> Results:
    """List published results, of one slide or of all, the newest first."""
    with archive.connect() as connection:
        found = list_results(connection, series_instance_uid=series_instance_uid or "", limit=limit, offset=offset)
    response.headers["Cache-Control"] = NO_STORE
    return Results(results=[_describe(archive, one, base) for one in found])


@router.get("/{key}")
def read_one(key: Key, archive: Served, base: Base, response: Response) -> Result:
    """Describe one published result."""
    response.headers["Cache-Control"] = NO_STORE
    return _describe(archive, _find(archive, key), base)


@router.get("/{key}/files/{name}", response_class=Response, responses=FILE)
def read_file(request: Request, key: Key, name: FileName, archive: Served) -> Response:
    """Send a file of a result, or a range of its bytes."""
    folder = archive.result_folder(_find(archive, key).key)
    hashes = _read_manifest(folder)
    known = next((known for known in hashes if known == name), None)
    if known is None:
        raise MissingInputError("the result has no such file")
    tag = f'"{hashes[known]}"'
    if is_known(request, tag):
        return not_modified(tag)
    path = folder / known
    try:
        n_bytes = path.stat().st_size
    except OSError as error:
        raise ResourceError("a file of the result cannot be read; ask again later") from error
    return send_bytes(request, tag, n_bytes, partial(_read, path), _media_type(known), immutable_headers(tag))


def _read(path: Path, span: Span) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(span.start)
        for start in range(span.start, span.stop, _CHUNK_BYTES):
            yield file.read(min(_CHUNK_BYTES, span.stop - start))


@router.get("/{key}/values.csv", response_class=Response, responses={200: {"content": {_CSV: {}}}})
def export_values(key: Key, archive: Served, gene: Genes = None) -> Response:
    """Send one line per tile: place, genes, halves of their intervals, signatures; lines with ``#`` say what they are.

    It is what ``vst-dicom export --to csv`` writes.
    """
    from vst_dicom.encode.stored_result import read_stored_result  # these load pandas and anndata
    from vst_dicom.encode.table_files import csv_blocks

    stored = read_stored_result(archive.result_folder(_find(archive, key).key), gene or None)
    return _send((text.encode() for text in csv_blocks(stored)), _CSV, f"{_made_name(key)}.csv")


@router.get("/{key}/dicom.zip", response_class=Response, responses={200: {"content": {_ZIP: {}}}})
def export_objects(key: Key, archive: Served) -> Response:
    """Send all DICOM objects of a result as one ZIP archive; the slide itself is not in it."""
    folder = archive.result_folder(_find(archive, key).key)
    names = sorted(name for name in _read_manifest(folder) if name.endswith(".dcm"))
    if not names:
        raise MissingInputError("the result was written without DICOM objects")
    return _send(
        stream_zip({f"{_made_name(key)}/{name}": folder / name for name in names}), _ZIP, f"{_made_name(key)}.zip"
    )


def _made_name(key: str) -> str:
    return f"predicted-{key[:_NAME_LENGTH]}"


def _send(pieces: Iterator[bytes], media_type: str, name: str) -> Response:
    """Send what is made meanwhile; what fails before the first piece is answered as a failure."""
    first = next(pieces)
    headers = {"Cache-Control": NO_STORE, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chain([first], pieces), media_type=media_type, headers=headers)


def _find(archive: Archive, key: str) -> CatalogResult:
    with archive.connect() as connection:
        found = list_results(connection, key=key, limit=1)
    if not found:
        raise MissingInputError("there is no such result")
    return found[0]


def _describe(archive: Archive, result: CatalogResult, base: str) -> Result:
    folder = archive.result_folder(result.key)
    files = []
    for name in _read_manifest(folder):
        url = f"{base}{API}/results/{result.key}/files/{quote(name)}"
        n_bytes = (folder / name).stat().st_size
        files.append(ResultFile(name=name, media_type=_media_type(name), n_bytes=n_bytes, url=url))
    return Result(
        key=result.key,
        created=result.created_at,
        bundle=result.bundle,
        study_instance_uid=result.study_instance_uid,
        series_instance_uid=result.series_instance_uid,
        files=files,
    )


def _read_manifest(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a result, by name."""
    try:
        hashes: dict[str, str] = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise ResourceError("the folder of a result cannot be read; ask again later") from error
    return hashes


def _media_type(name: str) -> str:
    return _MEDIA_TYPES.get(Path(name).suffix, _OTHER)
