"""An identity provider (OpenID Connect): its addresses and keys, and whether it issued a token."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from vst_dicom.domain.errors import PeerError, UsageError
from vst_dicom.web_settings import OidcSettings, is_loopback

_log = structlog.get_logger(__name__)

_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
"""Signatures by keys that only the provider has; none and shared secrets are no signatures of it."""

_TIMEOUT_S: Final = (3.0, 5.0)
_MOST_BYTES: Final = 1 << 20
_KEEP_S: Final = 3600.0
"""How long addresses and keys are used without asking again, also when the provider does not answer."""

_ASK_AGAIN_S: Final = 30.0
"""How soon unknown keys, or a provider that did not answer, are asked for again."""

_LEEWAY_S: Final = 60
_LONGEST_TOKEN: Final = 16_384


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a provider answers (OpenID Connect Discovery 3)."""

    authorization: str
    token: str
    keys: str


class Issuer:
    """What is known of a provider.

    Parameters
    ----------
    settings
        Which, and what it is asked for.
    """

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._lock = Lock()
        self._addresses: Addresses | None = None
        self._keys: KeySet | None = None
        self._known_at = self._asked_at = float("-inf")

    def addresses(self) -> Addresses:
        """Find where the provider answers.

        Raises
        ------
        PeerError
            If it does not, or answers something else.
        """
        with self._lock:
            return self._refresh(forced=False)[0]

    def verify(self, token: str, audience: str, *, nonce: str | None = None) -> Mapping[str, Any]:
        """Check that the provider issued a token for an audience, that it holds now, and belongs to this login.

        Returns
        -------
        Mapping[str, Any]
            Its claims.

        Raises
        ------
        UsageError
            If not; the message does not say more than who asks may know.
        PeerError
            If the provider does not answer.
        """
        if len(token) > _LONGEST_TOKEN or token.count(".") != 2:
            raise UsageError("the token is not a signed JSON Web Token")
        try:
            claims = self._decode(token)
            self._check(claims, audience, nonce)
        except (JoseError, ValueError, TypeError) as error:
            _log.info("token refused", problem=type(error).__name__)
            raise UsageError("the token is wrong, has expired, or is not for this server") from error
        return claims

    def roles(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Values of the claim that lists roles."""
        found: Any = claims
        for name in self.settings.role_claim.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return frozenset(found.split())
        return frozenset(value for value in found if isinstance(value, str)) if isinstance(found, list) else frozenset()

    def _decode(self, token: str) -> Mapping[str, Any]:
        with self._lock:
            keys = self._refresh(forced=False)[1]
        try:
            return jwt.decode(token, keys, algorithms=list(_ALGORITHMS)).claims
        except (JoseError, ValueError) as error:
            with self._lock:
                newer = self._refresh(forced=True)[1]  # the provider may have changed its keys
            if newer is keys:
                raise
            _log.info("keys of the issuer were read anew", because=type(error).__name__)
            return jwt.decode(token, newer, algorithms=list(_ALGORITHMS)).claims

    def _check(self, claims: Mapping[str, Any], audience: str, nonce: str | None) -> None:
        wanted: dict[str, Any] = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": audience},
            "sub": {"essential": True},
            "exp": {"essential": True},
        }
        if nonce is not None:
            wanted["nonce"] = {"essential": True, "value": nonce}
        jwt.JWTClaimsRegistry(leeway=_LEEWAY_S, **wanted).validate(dict(claims))
        if not isinstance(claims["sub"], str) or not isinstance(claims["exp"], int | float):
            raise TypeError("claims of the wrong type")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if nonce is not None and several and claims.get("azp") != audience:
            raise ValueError("issued to another party")

    def _refresh(self, *, forced: bool) -> tuple[Addresses, KeySet]:
        """Read addresses and keys anew where they are old, or where that is asked for, but not too often."""
        now_s = monotonic()
        old = now_s - self._known_at > _KEEP_S
        if (old or forced) and now_s - self._asked_at > _ASK_AGAIN_S:
            self._asked_at = now_s
            try:
                self._read()
                self._known_at = now_s
                old = False
            except PeerError as error:
                _log.warning("the issuer does not answer", issuer=self.settings.issuer, problem=str(error))
        if self._addresses is None or self._keys is None or old:
            raise PeerError("the identity provider does not answer; try again in a minute, or look at the log")
        return self._addresses, self._keys

    def _read(self) -> None:
        issuer = self.settings.issuer
        found = _fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise PeerError("its configuration names another issuer")
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        urls = [_check_url(found.get(name), issuer) for name in names]
        content = _fetch(urls[2])
        try:
            keys = KeySet.import_key_set(content)  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise PeerError("its keys cannot be read") from error
        self._addresses, self._keys = Addresses(*urls), keys


def choose_role(settings: OidcSettings, values: Collection[str]) -> str | None:
    """Name of the highest role that values of the claim give; None if they give none."""
    for label, wanted in (("admin", settings.admins), ("operator", settings.operators), ("viewer", settings.viewers)):
        if not set(wanted).isdisjoint(values):
            return label
    return None


def _check_url(url: Any, issuer: str) -> str:
    """Refuse addresses that are less protected than the issuer's own."""
    parts = urlsplit(url if isinstance(url, str) else "")
    local = is_loopback(urlsplit(issuer).hostname or "") and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise PeerError("its configuration names an address without https")
    return parts.geturl()


def _fetch(url: str) -> dict[str, Any]:
    """Read a small JSON object; nothing is followed elsewhere."""
    try:
        with requests.get(url, timeout=_TIMEOUT_S, allow_redirects=False, stream=True) as response:
            content = response.raw.read(_MOST_BYTES + 1, decode_content=True)
            status = response.status_code
        found = json.loads(content) if status == requests.codes.ok and len(content) <= _MOST_BYTES else None
    except (requests.RequestException, OSError, ValueError, RecursionError) as error:
        msg = f"it could not be asked: {type(error).__name__}"
        raise PeerError(msg) from error
    if not isinstance(found, dict):
        msg = f"it answered {status}, and no small JSON object"
        raise PeerError(msg)
    return found
