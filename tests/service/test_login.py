"""OpenID Connect: who is let in by an identity provider, and what is refused."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc.jwk import RSAKey

from tests.service.oidc_provider import CLIENT, Provider, providing
from tests.service.served import Site, Web
from vst_dicom.domain.errors import PeerError
from vst_dicom.ledger.audit import list_audit
from vst_dicom.service.access import issuer
from vst_dicom.service.access.issuer import Issuer
from vst_dicom.web_settings import OidcSettings


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing() as made:
        yield made


@pytest.fixture(scope="module")
def site(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    auth = {"mode": "oidc", "oidc": {"issuer": provider.url}}
    made = Site.make(tmp_path_factory.mktemp("oidc"), auth=auth, rates={"refusals_per_minute": 1000})
    yield made
    made.database.dispose()


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[Web]:
    with site.serving() as web:
        yield web


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def bearer(served: Web, token: str, path: str = "/api/v1/slides") -> requests.Response:
    return requests.get(served.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def begin(served: Web, browser: requests.Session, to: str = "/") -> requests.Response:
    return browser.get(f"{served.url}/login", params={"to": to}, timeout=30, allow_redirects=False)


def at_provider(browser: requests.Session, begun: requests.Response) -> str:
    """Log in at the provider; where it sends the browser."""
    location: str = browser.get(begun.headers["Location"], timeout=30, allow_redirects=False).headers["Location"]
    return location


def come_back(browser: requests.Session, url: str) -> requests.Response:
    return browser.get(url, timeout=30, allow_redirects=False)


def test_a_person_logs_in_and_out(served: Web, browser: requests.Session, site: Site) -> None:
    begun = begin(served, browser, "/page?slide=3")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.headers["Location"]).query).items()}
    back = come_back(browser, at_provider(browser, begun))

    assert (asked["code_challenge_method"], asked["response_type"], asked["client_id"]) == ("S256", "code", CLIENT)
    assert (back.status_code, back.headers["Location"]) == (303, f"{served.url}/page?slide=3")
    cookie = back.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert browser.get(f"{served.url}/api/v1/slides", timeout=30).status_code == 200
    who = browser.get(f"{served.url}/api/v1/session", timeout=30).json()
    assert who == {"login": "oidc", "subject": "oidc:anna", "role": "viewer"}
    with site.database.begin() as connection:
        rows, _ = list_audit(connection, who="oidc:anna", limit=10)
    assert {row.route for row in rows} == {"/login/callback", "/api/v1/slides"}

    ended = browser.post(f"{served.url}/api/v1/session/end", json={}, timeout=30)
    assert ended.status_code == 204
    browser.cookies.set("vst-session", cookie.split("vst-session=")[1].split(";")[0])
    assert browser.get(f"{served.url}/api/v1/slides", timeout=30).status_code == 401


def test_a_state_is_good_once(served: Web, browser: requests.Session) -> None:
    begun = begin(served, browser)
    state = browser.cookies["vst-login"]
    url = at_provider(browser, begun)
    assert come_back(browser, url).status_code == 303

    browser.cookies.set("vst-login", state)
    assert come_back(browser, url).status_code == 401


def test_a_login_that_another_browser_began_is_refused(served: Web, browser: requests.Session) -> None:
    with requests.Session() as other:
        url = at_provider(other, begin(served, other))
    begin(served, browser)

    assert come_back(browser, url).status_code == 401
    assert come_back(browser, f"{served.url}/login/callback?code=code0").status_code == 401


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\r\nX: y", ""]
)
def test_nobody_is_sent_elsewhere_after_a_login(served: Web, browser: requests.Session, to: str) -> None:
    assert begin(served, browser, to).status_code == 400


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"sub": None},
    ],
)
def test_an_answer_that_is_not_for_this_login_is_refused(
    served: Web, browser: requests.Session, provider: Provider, claims: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "claims", claims)

    assert come_back(browser, at_provider(browser, begin(served, browser))).status_code == 401
    assert "vst-session" not in browser.cookies


def test_a_person_without_a_role_is_refused(
    served: Web, browser: requests.Session, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "claims", {"roles": ["visitor"]})

    assert come_back(browser, at_provider(browser, begin(served, browser))).status_code == 403


def test_a_code_that_the_provider_does_not_know_is_refused(served: Web, browser: requests.Session) -> None:
    url = at_provider(browser, begin(served, browser))

    assert come_back(browser, url.replace("code=code", "code=other")).status_code == 401


def test_a_machine_brings_a_token_of_the_provider(served: Web, provider: Provider) -> None:
    assert bearer(served, provider.issue()).status_code == 200
    assert bearer(served, provider.issue(roles="viewer other")).status_code == 200
    assert bearer(served, provider.issue(), "/api/v1/audit").status_code == 403
    assert bearer(served, provider.issue(roles=["admin"]), "/api/v1/audit").status_code == 200
    assert bearer(served, provider.issue(roles=["visitor"])).status_code == 403


def test_tokens_that_are_wrong_are_refused(served: Web, provider: Provider) -> None:
    now = int(time.time())
    other = RSAKey.generate_key(2048, {"kid": "one"})
    good = provider.issue()
    wrong = {
        "issuer": provider.issue(iss="https://evil.example"),
        "audience": provider.issue(aud="another"),
        "no audience": provider.issue(aud=None),
        "expired": provider.issue(exp=now - 120),
        "never expires": provider.issue(exp=None),
        "not yet": provider.issue(nbf=now + 600),
        "no subject": provider.issue(sub=None),
        "none": provider.unsigned(),
        "public key as secret": provider.signed_with_public_key(),
        "key of another": provider.issue(key=other),
        "changed": good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB"),
        "cut": good.rpartition(".")[0] + ".",
        "no token": "x",
        "empty": "",
        "three dots": "...",
        "long": "a" * 6000 + "." + "b" * 6000 + "." + "c" * 6000,
    }

    statuses = {name: bearer(served, token).status_code for name, token in wrong.items()}

    assert statuses == dict.fromkeys(wrong, 401)
    assert bearer(served, good).headers.get("WWW-Authenticate") is None
    assert bearer(served, "x").headers["WWW-Authenticate"].startswith("Bearer")


def test_new_keys_are_read_once_however_many_tokens_name_unknown_ones(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with providing() as own:
        keys = Issuer(OidcSettings(issuer=own.url))
        keys.verify(own.issue(), CLIENT)
        own.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
        for _ in range(5):
            with pytest.raises(Exception, match="token is wrong"):
                keys.verify(own.issue(), CLIENT)
        assert own.n_key_requests == 1
        monkeypatch.setattr(issuer, "_ASK_AGAIN_S", 0.0)
        assert keys.verify(own.issue(), CLIENT)["sub"] == "anna"
        assert own.n_key_requests == 2


def test_keys_outlive_a_provider_that_is_down_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with providing() as own:
        keys = Issuer(OidcSettings(issuer=own.url))
        token = own.issue()
        keys.verify(token, CLIENT)

    assert keys.verify(token, CLIENT)["sub"] == "anna"
    monkeypatch.setattr(issuer, "_KEEP_S", 0.0)
    with pytest.raises(PeerError):
        keys.verify(token, CLIENT)


@pytest.mark.parametrize("endpoint", ["http://evil.example/keys", "file:///etc/passwd", "ftp://127.0.0.1/x", None, 5])
def test_a_provider_that_names_unprotected_addresses_is_not_asked(endpoint: Any) -> None:
    with pytest.raises(PeerError):
        issuer._check_url(endpoint, "https://login.hospital.org")
