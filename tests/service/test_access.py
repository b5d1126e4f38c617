"""Roles: who may use which route, by token; what is refused, counted and written down."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from pydantic import ValidationError
from sqlalchemy import text, update

from tests.jobs.ledgers import add_job, job_of
from tests.service.served import Site, Web
from vst_dicom.ledger.access import create_token, revoke_token
from vst_dicom.ledger.audit import AuditEntry, list_audit
from vst_dicom.ledger.states import JobState
from vst_dicom.ledger.tables import api_tokens
from vst_dicom.service.access.roles import LEAST_ROLES, Role, is_audited
from vst_dicom.service.app import make_app
from vst_dicom.web_settings import WebSettings

STUDY, SERIES, INSTANCE, KEY = "1.2.3", "1.2.3.4", "1.2.3.4.5", "ab" * 32
VALUES = {
    "study": STUDY, "series": SERIES, "instance": INSTANCE, "frames": "1", "path:path": "7FE00010", "key": KEY,
    "name": "map.dcm", "workitem": "1.2.3", "aetitle": "WATCHER", "level": "0", "row": "0", "column": "0",
    "slide_id": "1", "bundle_id": "her2st-lite",
}  # fmt: skip
BODIES = {"PATCH /api/v1/jobs/{key}": {"priority": 5}, "POST /api/v1/session": {"token": "vst_no_no"}}
SOCKETS = {"GET /dicom-web/subscribers/{aetitle}"}
"""Asked otherwise, in test_workitems.py."""

LABELS = ("viewer", "operator", "admin")
EVERYWHERE = "0.0.0.0"  # noqa: S104


def declared_routes(app: FastAPI) -> set[str]:
    """Every route of the application, however it was added."""
    found = set()
    for route in app.routes:
        inner = getattr(route, "original_router", None)
        for one in inner.routes if inner is not None else [route]:
            methods = getattr(one, "methods", ("GET",))  # a WebSocket has none, and begins as GET
            found |= {f"{method} {one.path}" for method in methods if method != "HEAD"}
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(tmp_path_factory.mktemp("roles"), auth={"mode": "token"}, rates={"refusals_per_minute": 10_000})
    yield made
    made.database.dispose()


@pytest.fixture(scope="module")
def tokens(site: Site) -> dict[str, str]:
    return {label: new_token(site, label, label) for label in LABELS}


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[Web]:
    with site.serving() as web:
        yield web


def new_token(site: Site, name: str, role: str, days: float = 1) -> str:
    now = datetime.now(UTC)
    with site.database.begin() as connection:
        return create_token(connection, name, role, now=now, expires_at=now + timedelta(days=days))


def ask(served: Web, route: str, token: str = "", **headers: str) -> requests.Response:
    method, _, path = route.partition(" ")
    for name, value in VALUES.items():
        path = path.replace(f"{{{name}}}", value)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = BODIES.get(route, {}) if method != "GET" else None
    with requests.request(
        method, served.url + path, json=body, headers=headers, timeout=30, stream=True, allow_redirects=False
    ) as response:
        if response.headers.get("Content-Type", "").startswith("application/problem"):
            assert response.json()["status"] == response.status_code
        return response


def audit_of(site: Site, who: str = "") -> list[AuditEntry]:
    with site.database.begin() as connection:
        return list_audit(connection, who=who, limit=1000)[0]


def test_every_route_declares_its_least_role(site: Site) -> None:
    undeclared = declared_routes(make_app(site.settings, site.database)) - set(LEAST_ROLES)

    assert not undeclared, "add them to vst_dicom/service/access/roles.py"
    assert {route for route, role in LEAST_ROLES.items() if role is Role.PUBLIC} == {
        "GET /", "GET /page/{name}", "GET /health/live", "GET /health/ready", "GET /login", "GET /login/callback",
        "GET /api/v1/session", "POST /api/v1/session", "POST /api/v1/session/end",
    }  # fmt: skip


def test_every_role_may_do_what_its_routes_ask_for_and_nothing_else(
    site: Site, served: Web, tokens: dict[str, str]
) -> None:
    routes = declared_routes(make_app(site.settings, site.database)) - SOCKETS
    wrong = {}
    for route in sorted(routes):
        wanted = LEAST_ROLES[route]
        for label in ("", *LABELS):
            status = ask(served, route, tokens.get(label, "")).status_code
            held = Role.of(label) if label else Role.PUBLIC
            if route == "POST /api/v1/session":
                fits = status == 401  # the token in its body is wrong
            elif held >= wanted:
                fits = status not in (401, 403) and status < 500
            else:
                fits = status == (403 if label else 401)
            if not fits:
                wrong[route, label] = status

    assert wrong == {}


def test_what_is_forbidden_is_written_down(site: Site, served: Web, tokens: dict[str, str]) -> None:
    refusing = [route for route, role in LEAST_ROLES.items() if role > Role.VIEWER and route not in SOCKETS]
    declared = declared_routes(make_app(site.settings, site.database)) - SOCKETS
    for route in declared:
        if route in refusing:
            ask(served, route, tokens["viewer"])
        elif LEAST_ROLES[route] is Role.VIEWER:
            ask(served, route)

    viewer = {(row.method + " " + row.route, row.status) for row in audit_of(site, "token:viewer")}
    assert {(route, 403) for route in refusing} <= viewer
    nobody = {(row.method + " " + row.route, row.status) for row in audit_of(site) if not row.who}
    expected = {
        (route, 401) for route in declared if LEAST_ROLES[route] is Role.VIEWER and is_audited(*route.split(" "))
    }
    assert expected <= nobody


def test_a_refused_order_changes_nothing(site: Site, served: Web, tokens: dict[str, str]) -> None:
    key = add_job(site.database, "c" * 64)

    assert ask(served, f"POST /api/v1/jobs/{key}/cancel", tokens["viewer"]).status_code == 403
    assert job_of(site.database, key).state is JobState.QUEUED
    assert ask(served, f"POST /api/v1/jobs/{key}/cancel", tokens["operator"]).status_code == 202


def test_the_audit_says_who_looked_at_which_study_once(site: Site, served: Web) -> None:
    token = new_token(site, "reader", "viewer")
    key = add_job(site.database, "d" * 64)
    instance = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
    for path in (f"/api/v1/jobs/{key}", f"{instance}/frames/1", f"{instance}/frames/2", f"{instance}/frames/1"):
        ask(served, f"GET {path}", token)

    rows = {(row.route, row.study_instance_uid, row.target, row.status) for row in audit_of(site, "token:reader")}
    assert rows == {
        ("/api/v1/jobs/{key}", "1.2", key, 200),
        ("/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", STUDY, INSTANCE, 404),
    }
    assert len(audit_of(site, "token:reader")) == 2
    assert all(row.address == "127.0.0.1" and row.role == "viewer" for row in audit_of(site, "token:reader"))


def test_the_audit_keeps_no_text_that_somebody_put_into_an_address(site: Site, served: Web) -> None:
    token = new_token(site, "curious", "viewer")
    served.get("/dicom-web/studies/DOE^JANE", headers={"Authorization": f"Bearer {token}"})
    served.get("/dicom-web/studies?PatientName=DOE^JANE", headers={"Authorization": f"Bearer {token}"})

    rows = audit_of(site, "token:curious")
    assert len(rows) == 2
    assert "DOE" not in str(rows)


def test_an_administrator_reads_the_audit_by_study(site: Site, served: Web, tokens: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {tokens['admin']}"}
    served.get("/dicom-web/studies/1.9.9/series", headers=headers)

    found = served.get("/api/v1/audit?study_instance_uid=1.9.9", headers=headers).json()

    assert found["total"] == 1
    assert found["entries"][0]["who"] == "token:admin"


@pytest.mark.parametrize("route", ["GET /api/v1/slides", "GET /dicom-web/studies"])
def test_tokens_that_are_wrong_are_refused(site: Site, served: Web, route: str) -> None:
    good = new_token(site, f"good {route}", "viewer")
    expired = new_token(site, f"expired {route}", "viewer", days=-1)
    revoked = new_token(site, f"revoked {route}", "admin")
    with site.database.begin() as connection:
        revoke_token(connection, f"revoked {route}", datetime.now(UTC))
    wrong = [expired, revoked, good[:-1], good + "A", good.upper(), good[:17], "vst_", "vst__", "vst_x_y"]

    assert ask(served, route, good).status_code == 200
    assert {ask(served, route, token).status_code for token in wrong} == {401}
    assert ask(served, route, Authorization=f"Basic {good}").status_code == 401
    assert ask(served, route, Authorization=good).status_code == 401


def test_secrets_are_not_kept(site: Site, tokens: dict[str, str]) -> None:
    with site.database.begin() as connection:
        rows = str(connection.execute(text("SELECT * FROM api_tokens")).all())

    assert all(token.rpartition("_")[2] not in rows for token in tokens.values())


def test_a_browser_logs_in_with_a_token_and_out_again(site: Site, served: Web) -> None:
    token = new_token(site, "person", "operator")
    with requests.Session() as browser:
        begun = browser.post(f"{served.url}/api/v1/session", json={"token": token}, timeout=30)
        who = browser.get(f"{served.url}/api/v1/session", timeout=30).json()
        seen = browser.get(f"{served.url}/api/v1/slides", timeout=30)
        foreign = browser.post(
            f"{served.url}/api/v1/jobs/{KEY}/retry", json={}, headers={"Sec-Fetch-Site": "cross-site"}, timeout=30
        )
        ended = browser.post(f"{served.url}/api/v1/session/end", json={}, timeout=30)
        after = browser.get(f"{served.url}/api/v1/slides", timeout=30)

    assert (begun.status_code, seen.status_code, foreign.status_code) == (204, 200, 403)
    assert "HttpOnly" in begun.headers["Set-Cookie"]
    assert token not in begun.headers["Set-Cookie"]
    assert who == {"login": "token", "subject": "token:person", "role": "operator"}
    assert (ended.status_code, after.status_code) == (204, 401)


def test_a_session_ends_with_its_token(site: Site, served: Web) -> None:
    token = new_token(site, "leaver", "viewer")
    with requests.Session() as browser:
        browser.post(f"{served.url}/api/v1/session", json={"token": token}, timeout=30)
        with site.database.begin() as connection:
            revoke_token(connection, "leaver", datetime.now(UTC))

        assert browser.get(f"{served.url}/api/v1/slides", timeout=30).status_code == 401


def test_cookies_over_tls_belong_to_this_host_alone(tmp_path: Path) -> None:
    site = Site.make(tmp_path, auth={"mode": "token"}, public_url="https://slides.hospital.org")
    token = new_token(site, "person", "viewer")
    with site.serving() as web:
        begun = web.session.post(f"{web.url}/api/v1/session", json={"token": token}, timeout=30)
    site.database.dispose()

    cookie = begun.headers["Set-Cookie"]
    assert cookie.startswith("__Host-vst-session=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_who_asks_too_often_is_told_when_to_ask_again(tmp_path: Path) -> None:
    rates = {"requests_per_minute": 5, "changes_per_minute": 2, "refusals_per_minute": 3}
    site = Site.make(tmp_path, auth={"mode": "token"}, rates=rates)
    one, other = (new_token(site, name, "operator") for name in ("one", "other"))
    with site.serving() as web:
        reads = [ask(web, "GET /api/v1/jobs", one) for _ in range(7)]
        changes = [ask(web, "POST /api/v1/jobs/{key}/retry", other).status_code for _ in range(4)]
        guesses = [ask(web, "GET /api/v1/jobs", "vst_guess").status_code for _ in range(5)]
    site.database.dispose()

    assert [response.status_code for response in reads] == [200] * 5 + [429] * 2
    assert 1 <= int(reads[-1].headers["Retry-After"]) <= 61
    assert changes == [404] * 2 + [429] * 2
    assert guesses == [401] * 3 + [429] * 2


def test_nothing_is_shown_that_cannot_be_written_down(tmp_path: Path) -> None:
    site = Site.make(tmp_path, auth={"mode": "token"})
    token = new_token(site, "one", "viewer")
    with site.serving() as web:
        with site.database.begin() as connection:
            connection.execute(text("DROP TABLE audit"))
        response = ask(web, "GET /api/v1/slides", token)
    site.database.dispose()

    assert response.status_code == 503


def test_without_login_this_machine_does_everything_and_is_audited_as_local(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.serving() as web:
        assert ask(web, "GET /api/v1/audit").status_code == 200
        who = web.get("/api/v1/session").json()
        assert ask(web, "GET /login").status_code == 404
    rows = audit_of(site)
    site.database.dispose()

    assert who == {"login": "none", "subject": "local", "role": "admin"}
    assert [(row.who, row.route) for row in rows] == [("local", "/api/v1/audit")]


@pytest.mark.parametrize(
    "web",
    [
        {"host": EVERYWHERE},
        {"host": "slides.hospital.org", "public_url": "https://slides.hospital.org"},
        {"host": EVERYWHERE, "auth": {"mode": "token"}},
        {"host": "::", "auth": {"mode": "none"}, "public_url": "https://slides.hospital.org"},
        {"auth": {"mode": "oidc"}},
        {"auth": {"mode": "token", "oidc": {"issuer": "https://login.hospital.org"}}},
        {"auth": {"mode": "oidc", "oidc": {"issuer": "http://login.hospital.org"}}},
        {"auth": {"mode": "oidc", "oidc": {"issuer": "https://login.hospital.org", "scopes": ["profile"]}}},
    ],
)
def test_a_server_that_would_let_anyone_in_does_not_start(web: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebSettings(**web)


def test_a_server_beyond_this_machine_starts_with_a_login() -> None:
    public = "https://slides.hospital.org"

    assert WebSettings(host=EVERYWHERE, public_url=public, auth={"mode": "token"}).auth.mode == "token"  # type: ignore[arg-type]
    assert WebSettings(host="::1").auth.mode == "none"


def test_the_api_says_which_role_each_route_asks_for(served: Web, tokens: dict[str, str]) -> None:
    schema = served.get("/api/v1/openapi.json", headers={"Authorization": f"Bearer {tokens['viewer']}"}).json()

    assert schema["paths"]["/api/v1/jobs/{key}/retry"]["post"]["x-least-role"] == "operator"
    assert schema["paths"]["/api/v1/audit"]["get"]["security"] == [{"bearer": []}, {"session": []}]
    assert "security" not in schema["paths"]["/health/live"]["get"]


def test_an_expired_token_ends_at_once(site: Site, served: Web) -> None:
    token = new_token(site, "short", "viewer")
    with site.database.begin() as connection:
        connection.execute(update(api_tokens).where(api_tokens.c.name == "short").values(expires_at=datetime.now(UTC)))

    assert ask(served, "GET /api/v1/slides", token).status_code == 401
