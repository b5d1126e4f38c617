"""Scheduling and descent, with stand-ins for devices whose memory and speed the test decides."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from vst_dicom.domain.errors import BundleError, ResourceError, UsageError
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.predict.engine import Answer, DeviceMemoryError, embed
from vst_dicom.predict.ladder import LadderEngine, Rung


@dataclass
class Device:
    """Gives the brightness of each tile; holds so many tiles at once, and answers late."""

    holds: int = 99
    in_flight: int = 2
    late: bool = False
    device_name: str = "stand-in"
    precision: str = "fp32"
    name: str = "torch"
    started: list[int] = field(default_factory=list)
    outstanding: int = 0
    most_outstanding: int = 0
    freed: int = 0

    def start(self, images: NDArray[np.uint8]) -> Answer:
        self.started.append(len(images))
        if len(images) > self.holds and not self.late:
            raise DeviceMemoryError
        self.outstanding += 1
        self.most_outstanding = max(self.most_outstanding, self.outstanding)

        def answer() -> NDArray[np.float32]:
            self.outstanding -= 1
            if len(images) > self.holds:
                raise DeviceMemoryError
            return images[:, 0, 0, :1].astype(np.float32)

        return answer

    def free_memory(self) -> None:
        self.freed += 1


def rung(*devices: Device, label: str = "a rung") -> Rung:
    return Rung(label, lambda: devices)  # type: ignore[arg-type,return-value]


def failing(error: Callable[[], Exception]) -> Rung:
    def fail() -> Sequence[Device]:
        raise error()

    return Rung("a rung that fails", fail)  # type: ignore[arg-type]


def tiles(n_tiles: int, batch_size: int = 4) -> Iterator[TileBatch]:
    """Tiles whose brightness is their index."""
    for start in range(0, n_tiles, batch_size):
        indices = np.arange(start, min(start + batch_size, n_tiles))
        yield TileBatch(indices, np.full((len(indices), 2, 2, 3), indices[:, None, None, None], np.uint8))


def brightness(engine: LadderEngine, n_tiles: int) -> list[float]:
    return embed(engine, tiles(n_tiles), n_tiles)[:, 0].tolist()


def test_devices_take_turns_and_every_tile_keeps_its_place() -> None:
    devices = [Device(), Device(), Device()]
    engine = LadderEngine([rung(*devices)], 1, 4)

    assert brightness(engine, 22) == list(range(22))
    assert [device.started for device in devices] == [[4, 4], [4, 4], [4, 2]]
    assert engine.device_name == "3 × stand-in"


def test_a_device_never_has_more_in_work_than_it_may() -> None:
    devices = [Device(in_flight=3), Device(in_flight=3)]

    brightness(LadderEngine([rung(*devices)], 1, 1), 40)

    assert [device.most_outstanding for device in devices] == [3, 3]


def test_a_batch_is_read_only_when_a_device_has_room() -> None:
    device, read = Device(in_flight=2), []

    def batches() -> Iterator[TileBatch]:
        for batch in tiles(12, 1):
            read.append(device.outstanding)
            yield batch

    list(LadderEngine([rung(device)], 1, 1).stream(batches()))

    assert read == [0] + [1] * 11


@pytest.mark.parametrize("late", [False, True])
def test_a_batch_too_large_is_halved_until_it_fits(late: bool) -> None:
    device = Device(holds=3, late=late)
    engine = LadderEngine([rung(device)], 1, 8)

    assert brightness(engine, 11) == list(range(11))
    assert engine.batch_size == 2
    assert engine.facts.steps_down == ("memory of stand-in ran out: batches of 2 tiles",)
    assert device.freed == 2
    assert device.outstanding == 0


@pytest.mark.parametrize("late", [False, True])
def test_below_one_tile_comes_the_next_rung_with_the_whole_batch(late: bool) -> None:
    lower = Device(precision="bf16")
    engine = LadderEngine(
        [rung(Device(holds=0, late=late), label="fp32 on cuda"), rung(lower, label="bf16 on cuda")], 1, 4
    )

    assert brightness(engine, 9) == list(range(9))
    assert lower.started[-2:] == [4, 1]
    assert engine.precision == "bf16"
    assert engine.facts.steps_down[-1] == "memory did not suffice for fp32 on cuda: bf16 on cuda"


def test_a_rung_that_answers_wrongly_or_does_not_fit_is_left_out() -> None:
    last = Device(device_name="cpu")
    rungs = [
        rung(Device(holds=0)),
        failing(lambda: BundleError("other features")),
        failing(DeviceMemoryError),
        rung(last),
    ]
    engine = LadderEngine(rungs, 1, 4)

    assert brightness(engine, 5) == list(range(5))
    assert engine.device_name == "cpu"


def test_a_network_that_does_not_fit_at_all_starts_on_the_next_rung() -> None:
    engine = LadderEngine([failing(DeviceMemoryError), rung(Device(device_name="cpu"), label="cpu")], 1, 4)

    assert engine.facts.steps_down == ("memory did not suffice for a rung that fails: cpu",)


def test_below_the_last_rung_the_job_waits() -> None:
    engine = LadderEngine([rung(Device(holds=0)), rung(Device(holds=0), label="the CPU")], 1, 2)

    with pytest.raises(ResourceError, match="one tile with the CPU") as raised:
        brightness(engine, 3)

    assert raised.value.retryable


def test_a_first_rung_that_answers_wrongly_is_no_matter_of_memory() -> None:
    with pytest.raises(BundleError, match="other features"):
        LadderEngine([failing(lambda: BundleError("other features")), rung(Device())], 1, 4)


def test_a_failure_of_one_device_of_several_loses_no_tile() -> None:
    weak = Device(holds=2)
    engine = LadderEngine([rung(Device(), weak)], 1, 4)

    assert brightness(engine, 30) == list(range(30))
    assert engine.batch_size == 2


def test_batches_of_no_tile_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        LadderEngine([rung(Device())], 1, 0)


def test_empty_batches_are_passed_over() -> None:
    nothing = TileBatch(np.empty(0, np.int64), np.empty((0, 2, 2, 3), np.uint8))

    assert list(LadderEngine([rung(Device())], 1, 4).stream([nothing, nothing])) == []


def test_facts_say_in_plain_words_how_it_was_computed() -> None:
    engine = LadderEngine([rung(Device(holds=3))], 1, 4, {"torch fp32": 9.5})
    brightness(engine, 4)

    assert str(engine.facts) == "by torch in fp32 on stand-in; memory of stand-in ran out: batches of 2 tiles"
    assert engine.facts.probe_ms == {"torch fp32": 9.5}
