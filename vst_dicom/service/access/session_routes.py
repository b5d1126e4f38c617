"""Routes of logging in and out, and of who one is."""

from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from vst_dicom.ledger.access import begin_session, end_session, find_token
from vst_dicom.service.access.principals import NOBODY, Gatekeeper, Principal, unauthorized
from vst_dicom.service.access.roles import Role
from vst_dicom.service.addresses import API
from vst_dicom.service.holdings import Ledger, Now

router: Final = APIRouter(prefix=f"{API}/session", tags=["Session"])


async def gate_of(request: Request) -> Gatekeeper:
    """Find who stands at the gate."""
    gate: Gatekeeper = request.app.state.gate
    return gate


Gate = Annotated[Gatekeeper, Depends(gate_of)]


class SessionRead(BaseModel):
    """Who one is here, and how to log in."""

    login: Literal["none", "token", "oidc"] = Field(description="none: nobody must; token: POST one here; oidc: /login")
    subject: str = Field(description="Empty as long as nobody is logged in")
    role: Literal["public", "viewer", "operator", "admin"]


class TokenLogin(BaseModel):
    """An API token to begin a session with."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=200)


@router.get("")
def read_session(request: Request, gate: Gate) -> SessionRead:
    """Say who one is; a session that has ended counts as none."""
    try:
        principal = gate.identify(request)
    except Exception as error:
        if getattr(error, "status_code", None) != HTTPStatus.UNAUTHORIZED:
            raise
        principal = NOBODY
    return SessionRead(
        login=gate.settings.auth.mode,
        subject=principal.subject,
        role=principal.role.label,  # type: ignore[arg-type]
    )


@router.post("", status_code=HTTPStatus.NO_CONTENT)
def log_in(request: Request, wanted: TokenLogin, gate: Gate, database: Ledger, now: Now) -> Response:
    """Begin a session in a browser with an API token."""
    with database.begin() as connection:
        found = find_token(connection, wanted.token, now) if gate.asks else None
        if found is None:
            raise unauthorized("the token has ended, or is wrong")
        token, admission = found
        secret = begin_session(connection, gate.shorten(admission, now), now=now, lookup=token.lookup)
    request.state.principal = Principal(admission.subject, Role.of(admission.role))
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    gate.hand_out(response, secret)
    return response


@router.post("/end", status_code=HTTPStatus.NO_CONTENT)
def log_out(request: Request, gate: Gate, database: Ledger) -> Response:
    """End the session of this browser."""
    secret = request.cookies.get(gate.cookie)
    if secret:
        _end(database, secret)
        gate.forget()
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    gate.take_back(response)
    return response


def _end(database: Engine, secret: str) -> None:
    with database.begin() as connection:
        end_session(connection, secret)
