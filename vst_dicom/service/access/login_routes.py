"""Routes by which people log in at the identity provider (OpenID Connect Core 3.1, with PKCE, RFC 7636)."""

import hmac
from datetime import timedelta
from http import HTTPStatus
from secrets import token_urlsafe
from typing import Annotated, Any, Final

import requests
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from vst_dicom.domain.errors import NotFoundError, PeerError, UsageError
from vst_dicom.ledger.access import Admission, Login, begin_login, begin_session, take_login
from vst_dicom.service.access.issuer import Issuer, choose_role
from vst_dicom.service.access.principals import Gatekeeper, Principal, name_of, unauthorized
from vst_dicom.service.access.roles import Role
from vst_dicom.service.access.session_routes import Gate
from vst_dicom.service.addresses import Base
from vst_dicom.service.holdings import Ledger, Now
from vst_dicom.web_settings import OidcSettings

router: Final = APIRouter(prefix="/login", tags=["Session"])

_log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 10.0
_LOGIN_TIME: Final = timedelta(minutes=10)
_CALLBACK: Final = "/login/callback"

ReturnTo = Annotated[
    str,
    Query(
        pattern=r"^/([A-Za-z0-9_~.%=&?#,:;+-][A-Za-z0-9_~.%=&?#,:;+/-]*)?$",
        max_length=2000,
        description="Path of this server to go to afterwards; never another server",
    ),
]
Text = Annotated[str, Query(max_length=2000)]


@router.get("", status_code=HTTPStatus.FOUND, response_class=RedirectResponse)
def begin(gate: Gate, base: Base, database: Ledger, now: Now, to: ReturnTo = "/") -> Response:
    """Go to the identity provider to log in."""
    issuer = _issuer(gate)
    state, login = token_urlsafe(32), Login(token_urlsafe(32), token_urlsafe(64), to)
    with _client(issuer, base) as client:
        url, _ = client.create_authorization_url(
            issuer.addresses().authorization, state=state, nonce=login.nonce, code_verifier=login.verifier
        )
    with database.begin() as connection:
        begin_login(connection, state, login, now=now, expires_at=now + _LOGIN_TIME)
    response = RedirectResponse(url, HTTPStatus.FOUND)
    response.set_cookie(
        _cookie(gate),
        state,
        max_age=int(_LOGIN_TIME.total_seconds()),
        httponly=True,
        secure=gate.is_secure,
        samesite="lax",
    )
    return response


@router.get("/callback", status_code=HTTPStatus.SEE_OTHER, response_class=RedirectResponse)
def finish(
    request: Request,
    gate: Gate,
    base: Base,
    database: Ledger,
    now: Now,
    state: Text = "",
    code: Text = "",
    iss: Text = "",
) -> Response:
    """Come back from the identity provider."""
    issuer = _issuer(gate)
    begun_here = hmac.compare_digest(request.cookies.get(_cookie(gate), "").encode(), state.encode())
    if not state or not begun_here:
        raise unauthorized("this login was not begun in this browser; go to /login")
    with database.begin() as connection:
        login = take_login(connection, state, now)
    if login is None:
        raise unauthorized("this login was used before, or took too long; go to /login")
    if not code or (iss and iss != issuer.settings.issuer):
        raise unauthorized("the identity provider did not let you in; go to /login to try again")
    claims = _redeem(issuer, base, code, login)
    role = choose_role(issuer.settings, issuer.roles(claims))
    if role is None:
        _log.warning("a person without a role was refused", claim=issuer.settings.role_claim)
        raise HTTPException(HTTPStatus.FORBIDDEN, "you have no role here; ask who runs this server for one")
    admission = Admission(name_of(claims["sub"]), role, now + gate.settings.auth.session)
    with database.begin() as connection:
        secret = begin_session(connection, admission, now=now)
    request.state.principal = Principal(admission.subject, Role.of(role))
    response = RedirectResponse(base + login.return_to, HTTPStatus.SEE_OTHER)
    response.delete_cookie(_cookie(gate), httponly=True, secure=gate.is_secure, samesite="lax")
    gate.hand_out(response, secret)
    return response


def _redeem(issuer: Issuer, base: str, code: str, login: Login) -> Any:
    """Exchange a code for who it was given to."""
    try:
        with _client(issuer, base) as client:
            answer = client.fetch_token(
                issuer.addresses().token,
                code=code,
                grant_type="authorization_code",
                code_verifier=login.verifier,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
        token = answer.get("id_token")
    except AuthlibBaseError as error:
        raise unauthorized("the identity provider refused the login; go to /login to try again") from error
    except (requests.RequestException, ValueError) as error:
        raise PeerError("the identity provider does not answer; try again in a minute") from error
    if not isinstance(token, str):
        raise unauthorized("the identity provider did not say who you are; go to /login to try again")
    try:
        return issuer.verify(token, issuer.settings.client_id, nonce=login.nonce)
    except UsageError as error:
        raise unauthorized(str(error)) from error


def _client(issuer: Issuer, base: str) -> OAuth2Session:
    settings = issuer.settings
    secret = _secret(settings)
    return OAuth2Session(
        settings.client_id,
        secret,
        scope=" ".join(settings.scopes),
        redirect_uri=base + _CALLBACK,
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
        default_timeout=_TIMEOUT_S,
    )


def _secret(settings: OidcSettings) -> str | None:
    if settings.client_secret_file is None:
        return None
    try:
        return settings.client_secret_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"client_secret_file cannot be read ({error.strerror}); correct [web.auth.oidc]"
        raise PeerError(msg) from error


def _issuer(gate: Gatekeeper) -> Issuer:
    if gate.issuer is None:
        raise NotFoundError("this server has no identity provider")
    return gate.issuer


def _cookie(gate: Gatekeeper) -> str:
    return "__Host-vst-login" if gate.is_secure else "vst-login"
