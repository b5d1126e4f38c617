from collections.abc import Iterator
from threading import Event, get_ident

import pytest

from vst_dicom.predict.ahead import ahead


def test_items_come_in_their_order() -> None:
    assert list(ahead(range(100))) == list(range(100))
    assert list(ahead([])) == []


def test_items_are_made_in_another_thread_while_one_is_worked_on() -> None:
    made = [Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for event in made:
            event.set()
            yield get_ident()

    stream = ahead(items())

    assert next(stream) != get_ident()
    assert all(event.wait(10) for event in made)


def test_no_more_items_wait_than_allowed() -> None:
    made = []
    stream = ahead((made.append(number) or number for number in range(100)), 3)

    for taken in range(50):
        next(stream)
        assert len(made) <= taken + 1 + 3


def test_what_fails_is_raised_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    stream = ahead(items())

    assert next(stream) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


def test_a_reader_that_leaves_closes_the_maker() -> None:
    closed = Event()

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.set()

    stream = ahead(items())
    next(stream)
    stream.close()

    assert closed.is_set()
