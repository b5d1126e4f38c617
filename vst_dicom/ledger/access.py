"""Rows of `api_tokens`, `web_sessions` and `logins`: who may come in; secrets are kept as hashes only."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex, token_urlsafe
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from vst_dicom.domain.errors import ConflictError, NotFoundError
from vst_dicom.ledger.database import utc
from vst_dicom.ledger.tables import api_tokens, logins, web_sessions

TOKEN_START: Final = "vst_"  # noqa: S105
"""Every API token begins so, so that scanners for leaked secrets know it."""

_SECRET_BYTES: Final = 32
_MOST_LOGINS: Final = 10_000
"""Logins in progress at once; the oldest make room."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One row, without its secret.

    Parameters
    ----------
    lookup
        The part of the token that is no secret; names it.
    name
        What it is for.
    role
        What it allows.
    created_at, expires_at, revoked_at
        UTC; `revoked_at` is None as long as it was not revoked.
    """

    lookup: str
    name: str
    role: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Admission:
    """Who a token or session admits.

    Parameters
    ----------
    subject
        Who.
    role
        As what.
    expires_at
        Until when, UTC.
    """

    subject: str
    role: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Login:
    """A login in progress.

    Parameters
    ----------
    nonce, verifier
        What proves that answers belong to it (OpenID Connect Core 3.1.2.1, RFC 7636).
    return_to
        Path of this server to go to afterwards.
    """

    nonce: str
    verifier: str
    return_to: str


def create_token(connection: Connection, name: str, role: str, *, now: datetime, expires_at: datetime) -> str:
    """Write a token and answer it; it cannot be read again.

    Raises
    ------
    ConflictError
        If a living token has this name.
    """
    living = (api_tokens.c.name == name, api_tokens.c.revoked_at.is_(None), api_tokens.c.expires_at > now)
    if connection.execute(select(api_tokens.c.lookup).where(*living)).first() is not None:
        msg = f"there is a token named {name!r}; choose another name, or revoke it: vst-dicom token revoke"
        raise ConflictError(msg)
    lookup, secret = token_hex(6), token_urlsafe(_SECRET_BYTES)
    row = {"lookup": lookup, "sha256": _sha256(secret), "name": name, "role": role}
    connection.execute(insert(api_tokens).values(row | {"created_at": now, "expires_at": expires_at}))
    return f"{TOKEN_START}{lookup}_{secret}"


def list_tokens(connection: Connection) -> list[ApiToken]:
    """Read all tokens, the oldest first."""
    return [_token(row) for row in connection.execute(select(api_tokens).order_by(api_tokens.c.created_at))]


def revoke_token(connection: Connection, name: str, now: datetime) -> ApiToken:
    """End the living token of this name, or of this lookup, and the sessions that it began.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    wanted = or_(api_tokens.c.name == name, api_tokens.c.lookup == name)
    living = (
        select(api_tokens).where(wanted, api_tokens.c.revoked_at.is_(None)).order_by(api_tokens.c.expires_at.desc())
    )
    row = connection.execute(living.limit(1)).one_or_none()
    if row is None:
        msg = f"there is no token {name!r} that could be revoked; see: vst-dicom token list"
        raise NotFoundError(msg)
    connection.execute(update(api_tokens).where(api_tokens.c.lookup == row.lookup).values(revoked_at=now))
    connection.execute(delete(web_sessions).where(web_sessions.c.lookup == row.lookup))
    return _token(row)


def find_token(connection: Connection, token: str, now: datetime) -> tuple[ApiToken, Admission] | None:
    """Find who a token admits; None if it is unknown, wrong, expired or revoked."""
    lookup, _, secret = token.removeprefix(TOKEN_START).partition("_")
    row = connection.execute(select(api_tokens).where(api_tokens.c.lookup == lookup[:16])).one_or_none()
    expected = row.sha256 if row is not None else "0" * 64  # as much work for names that do not exist
    fits = hmac.compare_digest(_sha256(secret), expected)
    if row is None or not fits or row.revoked_at is not None or utc(row.expires_at) <= now:
        return None
    return _token(row), Admission(f"token:{row.name}", row.role, utc(row.expires_at))


def begin_session(connection: Connection, admission: Admission, *, now: datetime, lookup: str | None = None) -> str:
    """Write a session and answer what its cookie holds; sessions that ended are forgotten."""
    connection.execute(delete(web_sessions).where(web_sessions.c.expires_at <= now))
    secret = token_urlsafe(_SECRET_BYTES)
    row = {"sha256": _sha256(secret), "subject": admission.subject[:255], "role": admission.role, "lookup": lookup}
    connection.execute(insert(web_sessions).values(row | {"created_at": now, "expires_at": admission.expires_at}))
    return secret


def find_session(connection: Connection, secret: str, now: datetime) -> Admission | None:
    """Find whose session a cookie names; None if it has ended."""
    row = connection.execute(select(web_sessions).where(web_sessions.c.sha256 == _sha256(secret))).one_or_none()
    if row is None or utc(row.expires_at) <= now:
        return None
    return Admission(row.subject, row.role, utc(row.expires_at))


def end_session(connection: Connection, secret: str) -> None:
    """Forget a session."""
    connection.execute(delete(web_sessions).where(web_sessions.c.sha256 == _sha256(secret)))


def begin_login(connection: Connection, state: str, login: Login, *, now: datetime, expires_at: datetime) -> None:
    """Write a login in progress; those that were not finished in time are forgotten."""
    connection.execute(delete(logins).where(logins.c.expires_at <= now))
    if connection.execute(select(func.count()).select_from(logins)).scalar_one() >= _MOST_LOGINS:
        oldest = select(logins.c.sha256).order_by(logins.c.expires_at).limit(_MOST_LOGINS // 10)
        connection.execute(delete(logins).where(logins.c.sha256.in_(oldest)))
    row = {"sha256": _sha256(state), "nonce": login.nonce, "verifier": login.verifier, "return_to": login.return_to}
    connection.execute(insert(logins).values(row | {"expires_at": expires_at}))


def take_login(connection: Connection, state: str, now: datetime) -> Login | None:
    """Take the login that a state names, once; None if it was taken before, expired, or never began."""
    known = logins.c.sha256 == _sha256(state)
    row = connection.execute(select(logins).where(known)).one_or_none()
    taken = connection.execute(delete(logins).where(known)).rowcount
    if row is None or not taken or utc(row.expires_at) <= now:
        return None
    return Login(row.nonce, row.verifier, row.return_to)


def _sha256(secret: str) -> str:
    """Hash of a secret of 256 random bits, which needs no slow hash."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _token(row: Row[Any]) -> ApiToken:
    revoked_at = None if row.revoked_at is None else utc(row.revoked_at)
    return ApiToken(row.lookup, row.name, row.role, utc(row.created_at), utc(row.expires_at), revoked_at)
