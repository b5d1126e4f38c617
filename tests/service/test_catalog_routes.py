"""What the API says about bundles, rules, destinations and itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.ledgers import NOW, add_job
from tests.service.served import Site, Web
from vst_dicom.config import Settings
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import create_deliveries

RULES = """
[[rule]]
name = "hold all"
then = "hold"
priority = "stat"
when.CallingAE = { regex = "^A" }
when.Stain = { missing = false }
when.ContainerIdentifier = ["S1", "S2"]
when.BodyPartExamined = "BREAST"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("facts")
    (folder / "rules.toml").write_text(RULES)
    settings = Settings(
        data_dir=folder,
        web={"port": 0},  # type: ignore[arg-type]
        study={"rules": folder / "rules.toml"},  # type: ignore[arg-type]
        destinations={  # type: ignore[arg-type]
            "pacs": {"ae_title": "PACS", "host": "pacs.hospital.org", "port": 104},
            "web": {"url": "https://user:secret@archive.hospital.org/dicom-web"},
        },
    )
    site = Site(settings, open_database(settings.database))
    key = add_job(site.database, "a" * 64)
    with site.database.begin() as connection:
        create_deliveries(connection, key, ["pacs"], priority=100, now=NOW)
    with site.serving() as web:
        yield web
    site.database.dispose()


def get(served: Web, path: str) -> Any:
    response = served.get(f"/api/v1{path}")
    assert response.status_code == 200, response.text
    return response.json()


def try_rules(served: Web, body: dict[str, Any]) -> Any:
    return served.session.post(f"{served.url}/api/v1/rules/dry-run", json=body, timeout=30)


def test_bundles_are_listed_with_how_much_evidence_supports(served: Web) -> None:
    (bundle,) = get(served, "/bundles")["bundles"]

    assert (bundle["id"], bundle["is_default"], bundle["problem"]) == ("her2st-lite", True, "")
    assert 0 < bundle["n_shown"] < bundle["n_genes"]


def test_a_bundle_says_of_every_gene_why_it_is_shown_or_is_not(served: Web) -> None:
    bundle = get(served, "/bundles/her2st-lite")

    assert bundle["intended_use"] == "For Research Use Only. Not for use in diagnostic procedures."
    assert sum(gene["shown"] for gene in bundle["genes"]) == bundle["n_shown"]
    assert all(gene["reason"] and (gene["status"] == "hidden") is not gene["shown"] for gene in bundle["genes"])
    assert bundle["signatures"][0]["reason"]


def test_a_card_runs_no_program(served: Web) -> None:
    card = served.get("/api/v1/bundles/her2st-lite/card")

    assert card.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "For Research Use Only" in card.text
    policy = card.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none';")
    assert "script-src" not in policy


def test_rules_in_force_are_shown_as_their_file_writes_them(served: Web) -> None:
    (rule,) = get(served, "/rules")["rules"]

    assert (rule["name"], rule["then"], rule["priority"], rule["bundle"]) == ("hold all", "hold", "stat", None)
    assert rule["when"] == {
        "CallingAE": {"regex": "^A"},
        "Stain": {"missing": False},
        "ContainerIdentifier": {"in": ["S1", "S2"]},
        "BodyPartExamined": {"equals": "BREAST"},
    }


def test_rules_that_are_wrong_are_refused_by_name(served: Web) -> None:
    for text, fault in (
        ("[[rule]]\nname = 'x'\nthen = 'eat'", "rule 'x'.then"),
        ("[[rule", "cannot be read"),
        ("[[rule]]\nname = 'x'\nthen = 'process'\ndestinations = ['moon']", "moon"),
        ("x = " + "[" * 100_000, "cannot be read"),
    ):
        response = try_rules(served, {"rules": text})
        assert response.status_code == 400
        assert fault in response.json()["detail"]


def test_destinations_are_listed_without_passwords(served: Web) -> None:
    pacs, web = get(served, "/destinations")["destinations"]

    assert (pacs["kind"], pacs["address"], pacs["deliveries"]) == ("dicom", "pacs.hospital.org:104", {"waiting": 1})
    assert (pacs["last"]["job_key"], pacs["last"]["state"]) == ("a" * 64, "waiting")
    assert (web["kind"], web["address"], web["last"]) == ("dicomweb", "https://archive.hospital.org/dicom-web", None)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_told(served: Web, path: str) -> None:
    assert served.get(path).json() == {"status": "ok"}


def test_the_api_describes_its_failures_as_it_answers_them(served: Web) -> None:
    schema = get(served, "/openapi.json")

    assert "ValidationError" not in schema["components"]["schemas"]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], path
            problem = operation["responses"]["400"]["content"]
            assert problem == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            assert operation["summary"], (method, path)


def test_rules_are_tried_on_slides_that_came_before(site: Site, slide: dict[str, Path]) -> None:
    with site.serving() as web:
        tried = try_rules(web, {"rules": "[[rule]]\nname = 'none'\nthen = 'ignore'"}).json()
        now = try_rules(web, {}).json()

    assert (tried["n_rules"], tried["n_changed"]) == (1, 1)
    (one,) = tried["slides"]
    assert (one["state"], one["would_be"], one["changes"]) == ("queued", "ignored", True)
    assert "none" in one["reason"]
    assert now["n_changed"] == 0


def test_a_finished_slide_names_its_result(site: Site) -> None:
    with site.serving() as web:
        (slide,) = get(web, "/slides")["slides"]
        job = get(web, f"/jobs/{slide['result']}")
        what = [row["what"] for row in get(web, "/decisions?limit=1000")["decisions"]]

    assert slide["job"]["key"] == slide["result"]
    assert (slide["job"]["state"], slide["n_instances"]) == ("done", 4)
    assert {row["file_name"] for row in job["objects"]} >= {"parametric-map.dcm"}
    assert "queued" in what
