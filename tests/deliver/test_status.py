"""Claims about what answers mean, after PS3.4 table B.2-1 and PS3.7 annex C."""

import pytest

from vst_dicom.deliver.status import Verdict, judge


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.ACCEPTED),
        (0xB000, Verdict.ACCEPTED),
        (0xB006, Verdict.ACCEPTED),
        (0xB007, Verdict.ACCEPTED),
        (0x0107, Verdict.ACCEPTED),
        (0x0111, Verdict.ACCEPTED),
        (0x0116, Verdict.ACCEPTED),
        (0xA700, Verdict.RETRY),
        (0xA7FF, Verdict.RETRY),
        (0x0110, Verdict.RETRY),
        (0x0124, Verdict.RETRY),
        (0x0213, Verdict.RETRY),
        (0xA900, Verdict.REFUSED),
        (0xA9FF, Verdict.REFUSED),
        (0xC000, Verdict.REFUSED),
        (0xCFFF, Verdict.REFUSED),
        (0x0117, Verdict.REFUSED),
        (0x0122, Verdict.REFUSED),
        (0x0212, Verdict.REFUSED),
        (0x1234, Verdict.RETRY),
    ],
)
def test_each_status_has_the_verdict_of_the_standard(status: int, verdict: Verdict) -> None:
    assert judge(status)[0] is verdict


def test_a_failure_names_its_status() -> None:
    assert judge(0xA700)[1] == "out of resources (0xA700)"
    assert judge(0x0111)[1] == "already there (0x0111)"
    assert judge(0x0000)[1] == ""


def test_every_status_has_a_verdict() -> None:
    assert all(judge(status)[0] in Verdict for status in range(0x10000))
