from vst_dicom.pipeline.stages import Stages


def test_progress_tells_begin_steps_and_end() -> None:
    told: list[tuple[str, int, int]] = []
    stages = Stages(lambda *step: told.append(step))

    with stages.measure("predict", 10) as done:
        done(4, 10)

    assert told == [("predict", 0, 10), ("predict", 4, 10), ("predict", 10, 10)]
    assert stages.seconds["predict"] >= 0


def test_waiting_passes_items_on_and_adds_up() -> None:
    stages = Stages(lambda *_: None)

    assert list(stages.waiting("read", [1, 2, 3])) == [1, 2, 3]
    assert set(stages.seconds) == {"read"}


def test_a_failed_stage_passes_its_failure_on() -> None:
    stages = Stages(lambda *_: None)

    try:
        with stages.measure("maps"):
            raise KeyError("x")
    except KeyError:
        pass

    assert stages.seconds == {}
