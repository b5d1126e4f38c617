"""A DICOMweb server: store by STOW-RS (PS3.18 10.5), look for instances by QIDO-RS (PS3.18 10.6)."""

import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter

from vst_dicom.deliver.association import TlsFiles, client_tls
from vst_dicom.deliver.files import InstanceFile, SentInstance
from vst_dicom.deliver.status import InstanceAnswer, Verdict, judge
from vst_dicom.domain.errors import PeerError

_SLOWEST_BYTES_PER_S: Final = 65_536
_LONGEST_ANSWER_BYTES: Final = 4 << 20
_JSON: Final = "application/dicom+json"

_REFERENCED_SOP_SEQUENCE: Final = "00081199"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
_SOP_INSTANCE_UID: Final = "00080018"
_FAILURE_REASON: Final = "00081197"

_REFUSALS: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""The same bytes will be refused again; every other failure may be healed by time or by the server's operator."""


@dataclass(frozen=True, slots=True)
class WebServer:
    """A DICOMweb server.

    Parameters
    ----------
    url
        Base address, such as ``https://pacs/dicom-web``; may name user and password.
    tls
        Certificate of this side and authorities for the other's; the system's authorities if None.
    timeout_s
        How long to wait for a connection, an answer, and any progress while sending.
    """

    url: str
    tls: TlsFiles | None = None
    timeout_s: float = 60.0

    def __str__(self) -> str:
        """Address without user and password."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rsplit('@', 1)[-1]}"


def store_instances(
    server: WebServer,
    files: Sequence[InstanceFile],
    *,
    on_answer: Callable[[InstanceAnswer], None] = lambda _: None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> list[InstanceAnswer]:
    """Store files, one request each, streamed from disk; a refused instance does not stop the others.

    Parameters
    ----------
    server
        Where.
    files
        What.
    on_answer
        Told of each answer at once.
    on_bytes
        Told how many bytes were handed to the connection.

    Raises
    ------
    PeerError
        If the server cannot be reached, or the exchange breaks.
    UsageError
        If the TLS files cannot be used.
    """
    answers = []
    with _session(server) as session:
        for file in files:
            answer = _store(session, server, file, on_bytes)
            answers.append(answer)
            on_answer(answer)
    return answers


def find_missing(server: WebServer, instances: Sequence[SentInstance]) -> list[str]:
    """Ask for instances, one query each; returns the SOP Instance UIDs that the server does not know.

    Raises
    ------
    PeerError
        If the server cannot be reached, or does not answer queries.
    UsageError
        If the TLS files cannot be used.
    """
    with _session(server) as session:
        return [
            instance.sop_instance_uid
            for instance in instances
            if not _knows(session, server, instance.sop_instance_uid, instance.study_instance_uid)
        ]


def _store(
    session: requests.Session, server: WebServer, file: InstanceFile, on_bytes: Callable[[int], None]
) -> InstanceAnswer:
    boundary = secrets.token_hex(16)
    headers = {
        "Accept": _JSON,
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
    }
    with _Multipart(file, boundary, server, on_bytes) as body:
        status, content = _exchange(session, server, "POST", "studies", headers=headers, data=body)
    answer = _judge_answer(server, file.sop_instance_uid, status, content)
    is_conflict = status == HTTPStatus.CONFLICT and answer.verdict is not Verdict.ACCEPTED
    if is_conflict and _knows(session, server, file.sop_instance_uid):
        return InstanceAnswer(file.sop_instance_uid, Verdict.ACCEPTED, "already there")
    return answer


def _judge_answer(server: WebServer, uid: str, status: int, content: Any) -> InstanceAnswer:
    """Read the Store Instances Response (PS3.18 I.2); without one the HTTP status speaks for the instance."""
    failures = _items(content, _FAILED_SOP_SEQUENCE)
    if failures:
        number = _value(failures[0], _FAILURE_REASON)
        verdict, meaning = judge(number if isinstance(number, int) else 0x0110)
        return InstanceAnswer(uid, verdict, meaning)
    stored = [_value(item, _REFERENCED_SOP_INSTANCE_UID) for item in _items(content, _REFERENCED_SOP_SEQUENCE)]
    if status in (HTTPStatus.OK, HTTPStatus.ACCEPTED) and (uid in stored or not stored):
        return InstanceAnswer(uid, Verdict.ACCEPTED)
    verdict = Verdict.REFUSED if status in _REFUSALS else Verdict.RETRY
    return InstanceAnswer(uid, verdict, f"{server} answered HTTP {status}{_advice(status)}")


def _knows(session: requests.Session, server: WebServer, uid: str, study_instance_uid: str = "") -> bool:
    where = f"studies/{study_instance_uid}/instances" if study_instance_uid else "instances"
    parameters = {"SOPInstanceUID": uid, "limit": "1"}
    status, content = _exchange(session, server, "GET", where, headers={"Accept": _JSON}, params=parameters)
    if status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
        msg = f"{server} answered HTTP {status} to a query{_advice(status)}"
        raise PeerError(msg)
    found = content if isinstance(content, list) else []
    return status == HTTPStatus.OK and any(_value(item, _SOP_INSTANCE_UID) == uid for item in found)


@contextmanager
def _session(server: WebServer) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # results go where the settings say, past no proxy
        if server.url.startswith("https:"):
            session.mount("https://", _TlsAdapter(client_tls(server.tls or TlsFiles())))
        yield session


def _exchange(session: requests.Session, server: WebServer, method: str, path: str, **request: Any) -> tuple[int, Any]:
    """Send a request; returns HTTP status and decoded JSON, None where there is none.

    Redirects are not followed: an instance goes to the server of the settings or nowhere.
    """
    try:
        with session.request(
            method,
            f"{server.url.rstrip('/')}/{path}",
            timeout=(server.timeout_s, server.timeout_s),
            allow_redirects=False,
            stream=True,
            **request,
        ) as response:
            return response.status_code, _decode(_read_limited(response, server))
    except requests.RequestException as error:
        msg = f"{server} cannot be reached or broke off ({type(error).__name__}); check address, TLS and that it runs"
        raise PeerError(msg) from error


def _read_limited(response: requests.Response, server: WebServer) -> bytes:
    content = bytearray()
    deadline_s = time.monotonic() + server.timeout_s
    for chunk in response.iter_content(1 << 16):
        content += chunk
        if len(content) > _LONGEST_ANSWER_BYTES or time.monotonic() > deadline_s:
            msg = f"{server} sends an answer without end"
            raise PeerError(msg)
    return bytes(content)


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _items(content: Any, tag: str) -> list[Any]:
    """Items of a sequence in the DICOM JSON model (PS3.18 F.2); some servers wrap the data set in a list."""
    dataset = content[0] if isinstance(content, list) and content else content
    element = dataset.get(tag) if isinstance(dataset, dict) else None
    items = element.get("Value") if isinstance(element, dict) else None
    return items if isinstance(items, list) else []


def _value(dataset: Any, tag: str) -> Any:
    items = _items(dataset, tag)
    return items[0] if items else None


def _advice(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "; check user, password and rights"
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) or 300 <= status < 400:
        return "; check that the address is the base of its DICOMweb service"
    return ""


class _TlsAdapter(HTTPAdapter):
    """Connects with our TLS settings."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *positions: Any, **keywords: Any) -> None:
        super().init_poolmanager(*positions, ssl_context=self._context, **keywords)

    def cert_verify(self, *_: Any) -> None:
        """Leave the check of certificates to the TLS settings."""


class _Multipart:
    """One file as the single part of a multipart/related body, read as it is sent (RFC 2387)."""

    def __init__(self, file: InstanceFile, boundary: str, server: WebServer, on_bytes: Callable[[int], None]) -> None:
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = file.path.open("rb")
        self._length = len(self._head) + file.n_bytes + len(self._tail)
        self._position = 0
        self._deadline_s = time.monotonic() + server.timeout_s + file.n_bytes / _SLOWEST_BYTES_PER_S
        self._server = server
        self._on_bytes = on_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(1 << 16):
            yield chunk

    def read(self, n_bytes: int = 1 << 16) -> bytes:
        """Next bytes of the body.

        Raises
        ------
        PeerError
            If the server takes it too slowly.
        """
        if time.monotonic() > self._deadline_s:
            msg = f"{self._server} takes less than {_SLOWEST_BYTES_PER_S} bytes/s"
            raise PeerError(msg)
        n_bytes = max(n_bytes, len(self._head), len(self._tail))
        if self._position == 0:
            chunk = self._head
        elif self._position == self._length:
            chunk = b""
        else:
            chunk = self._file.read(n_bytes) or self._tail
        self._position += len(chunk)
        self._on_bytes(len(chunk))
        return chunk
