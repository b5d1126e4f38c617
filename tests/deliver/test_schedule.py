"""Claims about when to try again."""

from hypothesis import given
from hypothesis import strategies as st

from vst_dicom.deliver.schedule import RetrySchedule

SCHEDULE = RetrySchedule(first_s=30.0, longest_s=3600.0)


def test_waits_double_from_30_seconds_to_an_hour() -> None:
    waits = [SCHEDULE.wait_s(attempts) for attempts in range(1, 10)]

    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


@given(attempts=st.integers(-5, 10_000), jitter=st.floats(0, 1))
def test_no_wait_is_shorter_than_three_quarters_of_the_first_or_longer_than_the_longest(
    attempts: int, jitter: float
) -> None:
    assert 22.5 <= SCHEDULE.wait_s(attempts, jitter) <= 3600


def test_jitter_moves_a_wait_by_a_quarter_at_most() -> None:
    assert (SCHEDULE.wait_s(2, 0.0), SCHEDULE.wait_s(2, 1.0)) == (45, 75)
