"""Settings of the role ``web``: addresses, who may come in, and how much one client may ask."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Port = Annotated[int, Field(ge=0, le=65535)]
WebAddress = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?$")]
"""Scheme, host and port as a browser names them (RFC 6454 6.2)."""


class Section(BaseModel):
    """A part of the settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class OidcSettings(Section):
    """An identity provider by OpenID Connect: people log in there, and machines bring tokens that it issued."""

    issuer: WebAddress
    """Its issuer, such as https://login.hospital.org/realms/path; https unless it is on this machine."""
    client_id: str = "vst-dicom"
    """Under what name it knows this server."""
    client_secret_file: Path | None = None
    """File that holds the client's secret; none for a public client, which PKCE protects all the same."""
    audience: str = ""
    """Audience (aud) that tokens of machines must name; the client id if empty."""
    scopes: tuple[str, ...] = ("openid",)
    """What is asked for at login; openid must be among them."""
    role_claim: str = "roles"
    """Claim that lists the roles, such as roles, groups, or realm_access.roles."""
    viewers: tuple[str, ...] = ("viewer",)
    """Values of that claim that make a viewer: sees slides and results."""
    operators: tuple[str, ...] = ("operator",)
    """Values that make an operator: also starts, retries and cancels."""
    admins: tuple[str, ...] = ("admin",)
    """Values that make an administrator: also reads the audit."""

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError("issuer must begin with https://")
        if "openid" not in self.scopes:
            raise ValueError("scopes must hold openid")
        return self


class AuthSettings(Section):
    """Who may come in, by docs/web.md."""

    mode: Literal["none", "token", "oidc"] = "none"
    """none: everyone on this machine, and nobody else; token: API tokens; oidc: these, and an identity provider."""
    session: timedelta = timedelta(hours=8)
    """How long a login in a browser lasts."""
    oidc: OidcSettings | None = None

    @model_validator(mode="after")
    def _names_its_provider(self) -> Self:
        if (self.mode == "oidc") != (self.oidc is not None):
            raise ValueError('mode "oidc" and the section [web.auth.oidc] go together')
        return self


class RateSettings(Section):
    """How much one client, person or machine, may ask; more is answered by 429. Without login nothing is counted."""

    requests_per_minute: Annotated[int, Field(ge=1)] = 30_000
    """Requests of any kind; a viewer asks for hundreds of frames in a second."""
    changes_per_minute: Annotated[int, Field(ge=1)] = 120
    """Requests that change something, other than those that send slides."""
    refusals_per_minute: Annotated[int, Field(ge=1)] = 30
    """Requests from one address that were refused for want of a login."""


class StowSettings(Section):
    """What comes by STOW-RS; sizes are limited as those of the listener, by [dicom.limits]."""

    requests: Annotated[int, Field(ge=1)] = 4
    """How many may send at once; one more is answered by 503."""
    instances: Annotated[int, Field(ge=1)] = 10_000
    """Instances in one request."""
    silence_s: Annotated[float, Field(gt=0)] = 60.0
    """How many seconds a sender may pause; the whole may take as long as it takes."""


class WebSettings(Section):
    """DICOMweb, REST and the page by HTTP."""

    host: str = "127.0.0.1"
    """Address to listen at; beyond this machine only with auth and public_url."""
    port: Port = 8080
    """TCP port; 0 for any that is free."""
    public_url: WebAddress | None = None
    """Address of the proxy with TLS before this server, as others see it, such as https://slides.hospital.org/vst."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    cors_origins: tuple[Origin, ...] = ()
    """Origins of viewers that other servers deliver, such as https://viewer.hospital.org."""
    auth: AuthSettings = AuthSettings()
    rates: RateSettings = RateSettings()
    stow: StowSettings = StowSettings()

    @model_validator(mode="after")
    def _asks_who_comes(self) -> Self:
        if is_loopback(self.host):
            return self
        if self.auth.mode == "none":
            raise ValueError(
                "host must be 127.0.0.1, ::1 or localhost as long as nobody must log in: anyone could read patient "
                'data; set mode = "token" or "oidc" in [web.auth], see docs/web.md'
            )
        if self.public_url is None:
            raise ValueError("public_url must say how others reach this server beyond 127.0.0.1, see docs/web.md")
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
