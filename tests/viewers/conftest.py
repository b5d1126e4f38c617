"""One slide, one result and one archive of each kind for all viewers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.viewers.peers import ARCHIVES, REQUIRED, missing_programs
from tests.viewers.planted import PlantedResult, plant
from tests.viewers.screen import Screen, open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FAILURES: Final = Path(os.environ.get("VST_DICOM_VIEWER_FAILURES") or "viewer-failures")
"""Where the screen and the console of a failed test are kept."""


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PlantedResult:
    """The slide and its result; tests leave them as they are."""
    missing = missing_programs()
    if missing and not REQUIRED:
        pytest.skip(f"needs the Debian packages {', '.join(missing)}")
    return plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="session", params=ARCHIVES)
def dicomweb_url(
    request: pytest.FixtureRequest, planted: PlantedResult, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """DICOMweb service that has the slide and its result."""
    with ARCHIVES[request.param](tmp_path_factory.mktemp(request.param), planted) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium; it ends with its module, since its event loop would disturb tests of others."""
    with open_browser() as opened:
        yield opened


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep what the screen of a failed test showed."""
    outcome: Any = yield
    report = outcome.get_result()
    if not report.failed or report.when != "call":
        return
    for screen in getattr(item, "funcargs", {}).values():
        if isinstance(screen, Screen):
            file = _FAILURES / f"{item.name.replace('/', '-')}.png"
            screen.save(file)
            report.sections.append(("Screen", f"kept as {file.resolve()}"))
            report.sections.append(("Console", "\n".join(screen.console[-40:])))
