import pytest

from vst_dicom.runtime import demonstration
from vst_dicom.runtime.demo_pacs import StoredInstance
from vst_dicom.runtime.demonstration import wait_for_results

SLIDE, MAP, SEGMENTS, COLORS = (
    StoredInstance("1.2", f"1.2.{n}", "1.3", kind) for n, kind in enumerate(("SM", "OT", "SEG", "SEG"))
)


class SlowPacs:
    """Has one object more each time that somebody looks."""

    def __init__(self) -> None:
        self.arriving = [SLIDE, MAP, SEGMENTS, COLORS]
        self.n_there = 1

    def find_instances(self, _study: str) -> list[StoredInstance]:
        self.n_there += 1
        return self.arriving[: self.n_there]


def test_every_object_is_waited_for_though_all_kinds_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "_LOOK_S", 0)
    wanted = frozenset(one.sop_instance_uid for one in (MAP, SEGMENTS, COLORS))
    told = []

    found = wait_for_results(SlowPacs(), "1.9", wanted, lambda *how_far: told.append(how_far))  # type: ignore[arg-type]

    assert found == [MAP, SEGMENTS, COLORS]
    assert told == [("results back in PACS", n, 3) for n in (1, 2, 3)]
