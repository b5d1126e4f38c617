"""Who asks: by API token, by token of the identity provider, or by the session of a browser."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from threading import Lock
from typing import Final

from cachetools import TTLCache, cached
from fastapi import Response
from sqlalchemy import Engine
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.access import TOKEN_START, Admission, find_session, find_token
from vst_dicom.ledger.database import for_reading
from vst_dicom.service.access.issuer import Issuer, choose_role
from vst_dicom.service.access.roles import Role
from vst_dicom.web_settings import WebSettings

_REMEMBERED: Final = 4096
_REMEMBERED_S: Final = 5.0
"""How long an answer about a token stands; one that is revoked ends after so long."""

_LONGEST_CREDENTIAL: Final = 16_384


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Parameters
    ----------
    subject
        Name for the audit: of a token, or as the identity provider names a person; empty if nobody said.
    role
        What they may do.
    """

    subject: str
    role: Role


NOBODY: Final = Principal("", Role.PUBLIC)
EVERYBODY: Final = Principal("local", Role.ADMIN)
"""Whoever reaches a server without login, which listens to its own machine only."""


class Gatekeeper:
    """Finds out who asks.

    Parameters
    ----------
    settings
        Of the web.
    database
        Where tokens and sessions are.
    """

    def __init__(self, settings: WebSettings, database: Engine) -> None:
        self.settings = settings
        self.issuer = Issuer(settings.auth.oidc) if settings.auth.oidc else None
        self._database = for_reading(database)
        self._found: TTLCache[object, Admission | None] = TTLCache(_REMEMBERED, _REMEMBERED_S)
        self._lock = Lock()
        self._recent = cached(self._found, lock=self._lock)(self._find)

    @property
    def asks(self) -> bool:
        """Whether anybody must log in."""
        return self.settings.auth.mode != "none"

    @property
    def cookie(self) -> str:
        """Name of the cookie of a session; over TLS no other host can set it (RFC 6265bis 4.1.3.2)."""
        return "__Host-vst-session" if self.is_secure else "vst-session"

    @property
    def is_secure(self) -> bool:
        """Whether browsers come by TLS."""
        return (self.settings.public_url or "").startswith("https://")

    def identify(self, request: HTTPConnection) -> Principal:
        """Say who asks; `NOBODY` if a request says nothing.

        Raises
        ------
        HTTPException
            401 if what it says is wrong or has ended.
        PeerError
            If the identity provider does not answer.
        """
        if not self.asks:
            return EVERYBODY
        header = request.headers.get("authorization")
        if header is not None:
            kind, _, token = header.partition(" ")
            if kind.lower() != "bearer":
                raise unauthorized("send Authorization: Bearer with a token")
            return self._admit("bearer", token.strip())
        session = request.cookies.get(self.cookie)
        return self._admit("session", session) if session else NOBODY

    def _admit(self, kind: str, credential: str) -> Principal:
        if len(credential) > _LONGEST_CREDENTIAL:
            raise unauthorized("the token is too long")
        try:
            found = self._recent(kind, credential)
        except UsageError as error:
            raise unauthorized(str(error)) from error
        if found is None or found.expires_at <= datetime.now(UTC):
            raise unauthorized("the login or token has ended, or is wrong; log in again")
        return Principal(found.subject, Role.of(found.role))

    def _find(self, kind: str, credential: str) -> Admission | None:
        now = datetime.now(UTC)
        if kind == "session" or credential.startswith(TOKEN_START):
            with self._database.begin() as connection:
                if kind == "session":
                    return find_session(connection, credential, now)
                found = find_token(connection, credential, now)
                return None if found is None else found[1]
        if self.issuer is None:
            return None
        oidc = self.issuer.settings
        claims = self.issuer.verify(credential, oidc.audience or oidc.client_id)
        role = choose_role(oidc, self.issuer.roles(claims))
        return Admission(name_of(claims["sub"]), role or "public", datetime.fromtimestamp(claims["exp"], UTC))

    def shorten(self, admission: Admission, now: datetime) -> Admission:
        """Let a session end after its time, and never after what it was begun with."""
        return replace(admission, expires_at=min(admission.expires_at, now + self.settings.auth.session))

    def hand_out(self, response: Response, secret: str) -> None:
        """Give a browser the cookie of its session."""
        response.set_cookie(
            self.cookie,
            secret,
            max_age=int(self.settings.auth.session.total_seconds()),
            httponly=True,
            secure=self.is_secure,
            samesite="lax",
        )

    def take_back(self, response: Response) -> None:
        """Take the cookie away again."""
        response.delete_cookie(self.cookie, httponly=True, secure=self.is_secure, samesite="lax")

    def forget(self) -> None:
        """Forget what was found about tokens and sessions, so that one that ended does so at once."""
        with self._lock:
            self._found.clear()


def name_of(subject: str) -> str:
    """Name of a person for the audit: as the provider names them, if that is a plain word, otherwise a hash of it."""
    plain = len(subject) <= 200 and subject.isascii() and subject.isprintable()
    return f"oidc:{subject}" if plain else f"oidc:sha256:{hashlib.sha256(subject.encode(errors='replace')).hexdigest()}"


def unauthorized(detail: str) -> HTTPException:
    """Make the answer to who must log in."""
    return HTTPException(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": 'Bearer realm="vst_dicom"'})
