"""The whole server on a bad day; `make chaos` does more of it."""

import os
from pathlib import Path

import pytest

from tests.chaos.harness import Plan, database_of, run_chaos
from tests.postgresql import needs_postgresql

_WHOLE = bool(os.environ.get("VST_DICOM_WHOLE_CHAOS"))
"""Set in CI: 30 studies and 30 kills on each database; elsewhere a fifth of that."""

_STUDIES, _KILLS, _LIMIT_S = (30, 30, 1500) if _WHOLE else (6, 9, 600)

PLANS = [
    pytest.param("sqlite", Plan(_STUDIES, _KILLS, seed=31, limit_s=_LIMIT_S, mean_pause_s=2.0), id="sqlite"),
    pytest.param(
        "postgresql",
        Plan(_STUDIES, _KILLS, seed=32, hosts=2, limit_s=_LIMIT_S, mean_pause_s=2.0),
        id="postgresql, one host lost and one frozen",
        marks=needs_postgresql,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "plan"), PLANS)
def test_nothing_acknowledged_is_lost_and_nothing_is_made_twice(tmp_path: Path, kind: str, plan: Plan) -> None:
    with database_of(kind, tmp_path) as url:
        report = run_chaos(plan, tmp_path, url)

    assert report.acknowledged == plan.studies
    assert sum(report.kills.values()) >= plan.kills
    assert (report.lost, report.twice, report.different) == ([], [], [])
    assert report.job_states == {"done": plan.studies}
    assert report.pacs_answers["refused"] > 0
    assert report.pacs_answers["stored, then aborted"] > 0
