from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import insert, select, update

from tests.runtime.spooled import Gateway, at
from tests.study.headers import SEGMENTATION, SERIES, STUDY, painted, part_header, slide_header, stained
from vst_dicom.domain.errors import BundleError, UsageError
from vst_dicom.ledger.coarse_jobs import coarse_key
from vst_dicom.ledger.states import JobState, SlideState
from vst_dicom.ledger.tables import instances, jobs, result_instances
from vst_dicom.runtime.coordinator import coordinate

BASE = slide_header("1.1")
LOWER = slide_header("1.2", size=512, derived="RESAMPLED")
LABEL = slide_header("1.3", flavor="LABEL")


def result_header(uid: str, series: str = "1.9") -> Dataset:
    return slide_header(uid, SOPClassUID=SEGMENTATION, SeriesInstanceUID=series)


def test_a_slide_starts_after_the_quiet_time_and_not_before(gateway: Gateway) -> None:
    gateway.receive(BASE, 0)
    gateway.receive(LOWER, 10)

    gateway.coordinate(39)
    assert gateway.jobs == []
    assert (gateway.slide.state, gateway.slide.reason) == (SlideState.COLLECTING, "instances still come")

    gateway.coordinate(40)
    (job,) = gateway.jobs
    assert job.state is JobState.QUEUED
    assert (job.predecessor_key, job.bundle, job.genes, job.priority) == (None, "her2st-lite", None, 100)
    assert gateway.slide.state is SlideState.QUEUED


def test_a_pass_with_nothing_to_do_writes_nothing(gateway: Gateway) -> None:
    gateway.receive(BASE)
    assert gateway.coordinate(30) == 2
    before = gateway.decisions(STUDY), gateway.slide

    assert gateway.coordinate(31) == 0
    assert gateway.coordinate(100_000) == 0
    assert (gateway.decisions(STUDY), gateway.slide) == before


def test_the_job_holds_the_images_of_tissue_and_no_label(gateway: Gateway) -> None:
    for header in (BASE, LABEL, LOWER):
        gateway.receive(header)
    gateway.coordinate(30)

    (job,) = gateway.jobs
    with gateway.database.begin() as connection:
        uids = connection.execute(
            select(instances.c.sop_instance_uid).where(instances.c.id.in_(job.instance_ids))
        ).scalars()
        assert sorted(uids) == ["1.1", "1.2"]


def test_hashes_are_filled_for_what_is_processed(gateway: Gateway) -> None:
    for header in (BASE, LABEL):
        gateway.receive(header)
    gateway.coordinate(30)

    with gateway.database.begin() as connection:
        hashes = connection.execute(select(instances.c.sop_instance_uid, instances.c.sha256)).all()
    assert {uid: sha256 is not None for uid, sha256 in hashes} == {"1.1": True, "1.3": False}


def test_every_instance_gets_a_slide(gateway: Gateway) -> None:
    for header in (LABEL, BASE):
        gateway.receive(header)
    gateway.coordinate(0)

    with gateway.database.begin() as connection:
        assert None not in connection.execute(select(instances.c.slide_id)).scalars().all()
    assert gateway.slide.reply_to_ae == "SCANNER1"


def test_each_arrival_begins_the_quiet_time_anew(gateway: Gateway) -> None:
    gateway.receive(BASE, 0)
    gateway.coordinate(1)
    gateway.receive(LABEL, 29)
    gateway.coordinate(30)
    assert gateway.jobs == []

    gateway.coordinate(59)
    assert len(gateway.jobs) == 1


def test_a_person_need_not_wait(gateway: Gateway) -> None:
    gateway.receive(BASE)
    gateway.coordinate(1)
    gateway.run_now(2)
    gateway.coordinate(2)

    assert len(gateway.jobs) == 1
    assert not gateway.slide.run_now


def test_a_slide_asked_for_starts_as_soon_as_it_is_whole(gateway: Gateway) -> None:
    gateway.receive(part_header("1.1", 1, total=2, first_frame=0, n_frames=8))
    gateway.coordinate(1)
    gateway.run_now(2)
    gateway.coordinate(2)
    assert gateway.jobs == []

    gateway.receive(part_header("1.2", 2, total=2, first_frame=8, n_frames=8), 5)
    gateway.coordinate(5)
    assert len(gateway.jobs) == 1


def test_what_is_missing_is_said_once(gateway: Gateway) -> None:
    gateway.receive(part_header("1.1", 1, total=2, first_frame=0, n_frames=8))
    for seconds in (30, 60, 90):
        gateway.coordinate(seconds)

    assert gateway.slide.state is SlideState.COLLECTING
    assert "part 2 of 2 did not come yet" in gateway.slide.reason
    assert [decision.what for decision in gateway.decisions(STUDY)] == ["incomplete"]


def test_resampled_images_wait_for_their_base(gateway: Gateway) -> None:
    gateway.receive(LOWER)
    gateway.coordinate(30)
    assert gateway.jobs == []
    assert "base level did not come" in gateway.slide.reason

    gateway.receive(BASE, 100)
    gateway.coordinate(130)
    assert len(gateway.jobs[0].instance_ids) == 2


def test_a_late_instance_makes_a_new_job_that_names_the_earlier(gateway: Gateway) -> None:
    gateway.receive(BASE, 0)
    gateway.coordinate(30)
    gateway.receive(LOWER, 40)
    gateway.coordinate(41)
    assert (gateway.slide.state, gateway.slide.reason) == (SlideState.COLLECTING, "further instances came")

    gateway.coordinate(70)
    first, second = gateway.jobs
    assert second.predecessor_key == first.key
    assert (len(first.instance_ids), len(second.instance_ids)) == (1, 2)


def test_a_changed_instance_makes_a_new_job_with_its_latest_revision(gateway: Gateway) -> None:
    gateway.receive(BASE, 0)
    gateway.coordinate(30)
    gateway.receive(slide_header("1.1", ContainerDescription="other"), 40)
    gateway.coordinate(70)

    first, second = gateway.jobs
    assert second.predecessor_key == first.key
    assert len(second.instance_ids) == 1
    assert first.instance_ids != second.instance_ids


def test_jobs_of_one_slide_form_a_chain(gateway: Gateway) -> None:
    for number in range(4):
        gateway.receive(slide_header("1.1", ContainerDescription=str(number)), 100 * number)
        gateway.coordinate(100 * number + 30)

    keys = [job.key for job in gateway.jobs]
    assert [job.predecessor_key for job in gateway.jobs] == [None, *keys[:3]]


def test_a_coarse_job_goes_before_the_whole_one_where_settings_want_it(tmp_path: Path) -> None:
    gateway = Gateway.make(tmp_path, predict={"coarse_first": True})
    gateway.receive(BASE, 0)
    gateway.coordinate(30)
    gateway.receive(LOWER, 40)
    gateway.coordinate(71)

    jobs = {job.key: job for job in gateway.jobs}
    assert len(jobs) == 4
    first, second = (job for job in jobs.values() if coarse_key(job.key) in jobs)
    coarse = [jobs[coarse_key(job.key)] for job in (first, second)]
    assert [job.predecessor_key for job in (first, second)] == [job.key for job in coarse]
    assert [job.predecessor_key for job in coarse] == [None, first.key]
    assert [job.priority for job in (coarse[0], first)] == [99, 100]
    assert [len(job.instance_ids) for job in (coarse[0], first, coarse[1], second)] == [1, 1, 2, 2]


def test_a_late_label_makes_no_job(gateway: Gateway) -> None:
    gateway.receive(BASE, 0)
    gateway.coordinate(30)
    gateway.receive(LABEL, 40)
    gateway.coordinate(70)

    assert len(gateway.jobs) == 1
    assert gateway.slide.state is SlideState.QUEUED


def test_content_that_came_before_makes_no_job(gateway: Gateway) -> None:
    gateway.receive(BASE, 0)
    gateway.coordinate(30)
    with gateway.database.begin() as connection:
        connection.execute(update(jobs).values(state=JobState.REFUSED))
    gateway.run_now(40)
    gateway.coordinate(40)

    assert len(gateway.jobs) == 1
    last = gateway.decisions(STUDY)[-1]
    assert last.what == "duplicate"
    assert "has this content and is refused" in last.reason


def test_two_containers_in_one_series_are_two_jobs(gateway: Gateway) -> None:
    gateway.receive(slide_header("1.1", ContainerIdentifier="S1"))
    gateway.receive(slide_header("1.2", ContainerIdentifier="S2"))
    gateway.coordinate(30)

    assert len(gateway.jobs) == 2
    assert [slide.state for slide in gateway.slides] == [SlideState.QUEUED, SlideState.QUEUED]


def test_a_slide_keeps_its_row_when_its_container_becomes_known(gateway: Gateway) -> None:
    gateway.receive(slide_header("1.1", ContainerIdentifier=None), 0)
    gateway.coordinate(1)
    before = gateway.slide
    gateway.receive(slide_header("1.2", size=512, derived="RESAMPLED"), 2)
    gateway.coordinate(3)

    assert gateway.slide.id == before.id
    assert gateway.slide.group_key != before.group_key


def test_a_slide_that_falls_apart_is_decided_anew(gateway: Gateway) -> None:
    gateway.receive(slide_header("1.1", ContainerIdentifier=None), 0)
    gateway.receive(slide_header("1.2", ContainerIdentifier="S1"), 0)
    gateway.coordinate(30)
    gateway.receive(slide_header("1.3", ContainerIdentifier="S2"), 40)
    gateway.coordinate(70)

    assert len(gateway.slides) == 3
    assert sorted(len(job.instance_ids) for job in gateway.jobs) == [1, 1, 1, 2]


def test_slides_that_turn_out_to_be_one_leave_an_empty_one_behind(gateway: Gateway) -> None:
    gateway.receive(slide_header("1.1", PyramidUID="1.51"), 0)
    gateway.receive(slide_header("1.2", PyramidUID="1.52"), 0)
    gateway.coordinate(1)
    gateway.receive(slide_header("1.2", PyramidUID="1.51"), 2)
    gateway.coordinate(32)

    assert len(gateway.jobs) == 1
    assert sorted(slide.state for slide in gateway.slides) == [SlideState.IGNORED, SlideState.QUEUED]


def test_another_stain_is_held_with_its_name(gateway: Gateway) -> None:
    gateway.receive(stained(slide_header("1.1"), "12345", "HER2 antibody"))
    gateway.coordinate(30)

    assert gateway.jobs == []
    assert gateway.slide.state is SlideState.HELD
    assert "HER2 antibody" in gateway.slide.reason
    assert gateway.decisions(STUDY)[-1].what == "held"


def test_results_that_come_back_never_become_slides(gateway: Gateway) -> None:
    for number in range(4):
        gateway.receive(result_header(f"1.8.{number}"))
    gateway.coordinate(30)

    assert (gateway.jobs, gateway.slides, gateway.count_own()) == ([], [], 4)
    (decision,) = gateway.decisions(STUDY)
    assert (decision.what, decision.reason) == (
        "not a slide",
        "4 of series 1.9: Segmentation objects hold results and are never processed",
    )


def test_an_image_that_our_device_made_is_our_own(gateway: Gateway) -> None:
    model = Dataset()
    model.DeviceUID = "2.25.7"
    gateway.receive(slide_header("1.1", ContributingEquipmentSequence=[model]))
    gateway.coordinate(30)

    assert (gateway.jobs, gateway.slides, gateway.count_own()) == ([], [], 1)
    assert gateway.decisions(STUDY)[-1].what == "own result came back"


@pytest.mark.parametrize("derived", ["NONE", "RESAMPLED"])
def test_a_gene_painted_over_a_slide_never_becomes_a_slide_even_if_its_model_is_gone(
    gateway: Gateway, derived: str
) -> None:
    gateway.receive(painted(slide_header("1.1", derived=derived)))
    gateway.coordinate(30)

    assert (gateway.jobs, gateway.slides, gateway.count_own()) == ([], [], 1)
    assert gateway.decisions(STUDY)[-1].what == "own result came back"


@pytest.mark.parametrize(("uid", "series"), [("1.7", "1.70"), ("1.8", "1.9")])
def test_what_is_stored_as_a_result_is_our_own(gateway: Gateway, uid: str, series: str) -> None:
    gateway.receive(BASE, 0)
    gateway.coordinate(30)
    (job,) = gateway.jobs
    with gateway.database.begin() as connection:
        connection.execute(
            insert(result_instances).values(
                sop_instance_uid="1.7",
                job_key=job.key,
                sop_class_uid=SEGMENTATION,
                series_instance_uid="1.9",
                study_instance_uid=STUDY,
                file_name="segmentation.dcm",
                sha256="a" * 64,
            )
        )
    gateway.receive(slide_header(uid, SeriesInstanceUID=series), 40)
    gateway.coordinate(100)

    assert len(gateway.jobs) == 1
    assert gateway.decisions(STUDY)[-1].what == "own result came back"


def test_ten_rounds_of_everything_coming_back_leave_one_job(gateway: Gateway) -> None:
    for turn in range(10):
        for header in (BASE, LOWER, result_header("1.8.1"), result_header("1.8.2")):
            gateway.receive(header, 100 * turn)
        gateway.coordinate(100 * turn + 50)

    assert len(gateway.jobs) == 1


def test_interleaved_slides_and_repeats_make_one_job_each(gateway: Gateway) -> None:
    other = slide_header("2.1", SeriesInstanceUID="1.2.5", ContainerIdentifier="S2")
    for _ in range(5):
        for header in (BASE, other, LOWER):
            gateway.receive(header)
    gateway.coordinate(30)

    assert len(gateway.jobs) == 2


def test_a_file_that_vanished_holds_the_slide_until_it_is_back(gateway: Gateway) -> None:
    path = gateway.receive(BASE)
    assert path is not None
    path.rename(path.with_suffix(".away"))
    gateway.coordinate(30)
    assert (gateway.slide.state, gateway.decisions(STUDY)[-1].what) == (SlideState.HELD, "alert")
    assert str(path.parent) not in gateway.slide.reason

    path.with_suffix(".away").rename(path)
    gateway.coordinate(89)
    assert gateway.jobs == []
    gateway.coordinate(90)
    assert len(gateway.jobs) == 1


def test_a_damaged_file_holds_its_slide_and_no_other(gateway: Gateway) -> None:
    path = gateway.receive(BASE)
    assert path is not None
    path.write_bytes(b"rubbish")
    gateway.receive(slide_header("2.1", SeriesInstanceUID="1.2.5"))
    gateway.coordinate(30)

    assert len(gateway.jobs) == 1
    assert sorted(slide.state for slide in gateway.slides) == [SlideState.HELD, SlideState.QUEUED]


def test_a_missing_bundle_holds_the_slide_until_it_is_there(gateway: Gateway) -> None:
    class Missing(dict[str, str]):
        def __getitem__(self, name: str) -> str:
            raise BundleError("there is no bundle")

    there, gateway.bundle_sha256 = gateway.bundle_sha256, Missing()
    gateway.receive(BASE)
    gateway.coordinate(30)
    assert (gateway.slide.state, gateway.slide.reason) == (SlideState.HELD, "there is no bundle")

    gateway.bundle_sha256 = there
    gateway.coordinate(90)
    assert len(gateway.jobs) == 1


def test_a_new_bundle_is_new_work_when_a_person_asks(gateway: Gateway) -> None:
    gateway.receive(BASE)
    gateway.coordinate(30)
    gateway.bundle_sha256 = {"her2st-lite": "c" * 64}
    assert gateway.coordinate(1000) == 0
    gateway.run_now(1001)
    gateway.coordinate(1001)

    first, second = gateway.jobs
    assert second.predecessor_key == first.key


def remove_files(gateway: Gateway, container: str) -> None:
    """Do what retention does after delivery."""
    with gateway.database.begin() as connection:
        for row in connection.execute(select(instances)).all():
            if row.facts["container"] == container:
                (gateway.settings.spool / row.file_name).unlink()
                connection.execute(update(instances).where(instances.c.id == row.id).values(removed_at=at(100)))


def test_facts_outlive_files(gateway: Gateway) -> None:
    for container in ("S1", "S2"):
        gateway.receive(slide_header(f"1.{container[1]}", ContainerIdentifier=container), 0)
    gateway.coordinate(30)
    remove_files(gateway, "S2")
    before = gateway.slides
    gateway.receive(slide_header("1.3", ContainerIdentifier="S1", size=512, derived="RESAMPLED"), 200)
    gateway.coordinate(230)

    assert len(gateway.jobs) == 3
    assert [slide.id for slide in gateway.slides] == [slide.id for slide in before]
    assert gateway.slides[1] == before[1]


def test_a_late_instance_of_a_removed_slide_asks_for_the_whole(gateway: Gateway) -> None:
    gateway.receive(BASE, 0)
    gateway.coordinate(30)
    remove_files(gateway, "S1")
    gateway.receive(LOWER, 200)
    gateway.coordinate(230)

    assert len(gateway.jobs) == 1
    assert gateway.slide.state is SlideState.HELD
    assert "1 instances were removed after their result was delivered" in gateway.slide.reason
    assert gateway.slide.due_at is None


RULES = """
[[rule]]
name = "frozen"
then = "process"
genes = ["ERBB2"]
destinations = ["pacs"]
priority = "stat"
when.CallingAE = "FROZEN"

[[rule]]
name = "controls"
then = "ignore"
when.ContainerIdentifier = "CTRL"

[[rule]]
name = "rest"
then = "hold"
"""

PLACES = {"pacs": {"ae_title": "PACS", "host": "127.0.0.1"}, "back": {"ae_title": "SCANNER1", "host": "127.0.0.1"}}


@pytest.fixture
def ruled(tmp_path: Path) -> Gateway:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return Gateway.make(tmp_path / "data", study={"rules": path}, destinations=PLACES)


def test_a_rule_gives_the_job_what_it_says(ruled: Gateway) -> None:
    ruled.receive(BASE, sender="FROZEN")
    ruled.coordinate(30)

    (job,) = ruled.jobs
    assert (job.genes, job.destinations, job.priority) == (("ERBB2",), ("pacs",), 1)
    assert ruled.decisions(STUDY)[-1].reason == "rule 'frozen'; bundle her2st-lite, priority stat"


def test_rules_hold_and_ignore_with_their_name(ruled: Gateway) -> None:
    ruled.receive(slide_header("1.1"))
    ruled.receive(slide_header("2.1", SeriesInstanceUID="1.2.5", ContainerIdentifier="CTRL"))
    ruled.coordinate(30)

    assert ruled.jobs == []
    assert {(slide.state, slide.reason) for slide in ruled.slides} == {
        (SlideState.HELD, "rule 'rest'"),
        (SlideState.IGNORED, "rule 'controls'"),
    }


def test_a_person_processes_what_a_rule_holds(ruled: Gateway) -> None:
    ruled.receive(BASE)
    ruled.coordinate(30)
    ruled.run_now(40)
    ruled.coordinate(40)

    assert len(ruled.jobs) == 1
    assert "a person asked for it, although rule 'rest' would hold it" in ruled.decisions(STUDY)[-1].reason


def test_without_rules_results_go_everywhere(tmp_path: Path) -> None:
    gateway = Gateway.make(tmp_path, destinations=PLACES)
    gateway.receive(BASE)
    gateway.coordinate(30)

    assert gateway.jobs[0].destinations == ("pacs", "back")


def test_rules_that_name_an_unknown_destination_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    gateway = Gateway.make(tmp_path / "data", study={"rules": path})

    with pytest.raises(UsageError, match="destinations that the settings do not have: pacs"):
        gateway.coordinator()


def test_changed_rules_hold_at_once_and_wrong_ones_do_not(ruled: Gateway) -> None:
    path = ruled.settings.study.rules
    assert path is not None
    coordinator = ruled.coordinator()
    path.write_text("[[rule]]\nname = 'all'\nthen = 'nonsense'")
    ruled.receive(slide_header("1.1"), 0)
    coordinator.coordinate(at(30))
    assert ruled.slide.reason == "rule 'rest'"

    path.write_text("[[rule]]\nname = 'everything'\nthen = 'ignore'")
    ruled.receive(slide_header("2.1", SeriesInstanceUID=SERIES + ".5"), 40)
    coordinator.coordinate(at(70))
    assert ruled.slides[1].reason == "rule 'everything'"


def test_one_series_that_breaks_us_stops_no_other(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.receive(BASE)
    gateway.receive(slide_header("2.1", SeriesInstanceUID="1.2.5"))
    coordinator = gateway.coordinator()
    group = coordinator._group

    def breaking(series: tuple[str, str], *rest: object) -> int:
        if series[1] == SERIES:
            raise ZeroDivisionError
        return group(series, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(coordinator, "_group", breaking)
    coordinator.coordinate(at(30))
    assert len(gateway.jobs) == 1

    monkeypatch.setattr(coordinator, "_group", group)
    coordinator.coordinate(at(89))
    assert len(gateway.jobs) == 1
    coordinator.coordinate(at(90))
    coordinator.coordinate(at(91))
    assert len(gateway.jobs) == 2


def test_an_empty_ledger_needs_nothing(gateway: Gateway) -> None:
    assert coordinate(gateway.database, gateway.settings, at(0)) == 0
