"""Schemathesis asks the whole API everything that its description allows, and more: nothing fails unexpectedly."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.service.conftest import BASE, SERIES, STUDY
from tests.service.served import Site
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.jobs import list_jobs

_EVENTS = "/api/v1/events"
"""A stream that does not end."""

_EXAMPLES = 6
"""Of each mode for each operation."""


@schemathesis.serializer("multipart/related")
def send_as_one_part(_context: Any, value: Any) -> dict[str, Any]:
    """Whatever it is, as the content of a part of a STOW-RS."""
    content = value if isinstance(value, bytes) else str(value).encode()
    return {
        "data": b"--parts\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--parts--\r\n",
        "headers": {"Content-Type": 'multipart/related; type="application/dicom"; boundary=parts'},
    }


@pytest.fixture
def copy(site: Site, tmp_path: Path) -> Iterator[Site]:
    """The same slide and result, to be changed."""
    shutil.copytree(site.settings.data_dir, tmp_path / "data")
    chosen = site.settings.model_copy(update={"data_dir": tmp_path / "data"})
    made = Site(chosen, open_database(chosen.database))
    yield made
    made.database.dispose()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_makes_the_server_fail(copy: Site, mode: GenerationMode) -> None:
    with copy.database.begin() as connection:
        key = list_jobs(connection)[0].key
    real = {"study": STUDY, "series": SERIES, "instance": BASE, "frames": "1,2", "slide_id": 1, "key": key}
    failed: dict[str, int] = {}
    n_asked = 0

    def ask(operation: Any) -> None:
        @given(case=operation.as_strategy(generation_mode=mode), that_exists=st.booleans())
        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        def run(case: schemathesis.Case, that_exists: bool) -> None:
            nonlocal n_asked
            if that_exists:
                case.path_parameters.update({name: real[name] for name in case.path_parameters if name in real})
            response = case.call(session=session, timeout=30)
            n_asked += 1
            if response.status_code >= 500:
                failed[case.as_curl_command()] = response.status_code

        try:
            run()
        except Unsatisfiable:  # nothing about it could be wrong
            assert mode is GenerationMode.NEGATIVE

    with copy.serving() as web, requests.Session() as session:
        api = schemathesis.openapi.from_url(f"{web.url}/api/v1/openapi.json")
        for found in api.get_all_operations():
            operation = found.ok()
            if operation.path != _EVENTS:
                ask(operation)

    assert failed == {}
    assert n_asked > 100
