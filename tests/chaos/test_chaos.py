"""The whole server on a bad day; `make chaos` does more of it."""

from pathlib import Path

import pytest

from tests.chaos.harness import Plan, database_of, run_chaos
from tests.postgresql import needs_postgresql

PLANS = [
    pytest.param("sqlite", Plan(6, 9, seed=11, limit_s=150, mean_pause_s=1.5), id="sqlite"),
    pytest.param(
        "postgresql",
        Plan(6, 9, seed=12, hosts=2, limit_s=180, mean_pause_s=1.5),
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
