"""Work items that ask for predictions: claimed, performed once whatever is killed when, and said how they ended."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from tests.runtime.spooled import Gateway, at
from tests.service.worklist import input_slide, references, scheduled
from tests.study.headers import STUDY, slide_header, stained
from vst_dicom.dicom.codes import BUNDLE_TO_USE, GENES_TO_PREDICT, PREDICT_EXPRESSION, Code
from vst_dicom.dicom.procedure_step import Json, code_item, data_set, first_of, items_of
from vst_dicom.domain.errors import ConflictError
from vst_dicom.ledger.jobs import move_job
from vst_dicom.ledger.states import JobState, ProcedureStepState
from vst_dicom.ledger.tables import jobs, result_instances
from vst_dicom.ledger.workitem_events import Subscription, forget_events, list_events
from vst_dicom.ledger.workitems import Workitem, read_workitem
from vst_dicom.runtime.ordered_work import read_order
from vst_dicom.runtime.performing import Performer
from vst_dicom.runtime.workitems import add_subscription, create, request_cancellation

UID = "2.25.1"


def never(*_: object) -> bool:
    return False


class Desk(Gateway):
    """The gateway, and what people do with work items."""

    def order(self, uid: str = UID, **changes: Any) -> None:
        header = slide_header("1.1")
        slide = input_slide(str(header.StudyInstanceUID), str(header.SeriesInstanceUID))
        asked = scheduled(PREDICT_EXPRESSION, **{"InputInformationSequence": slide} | changes)
        with self.database.begin() as connection:
            create(connection, uid, asked, at(0), never)

    def perform(self, seconds: float) -> None:
        known = {"her2st-lite", "other"}
        Performer(self.database, self.settings, has_bundle=known.__contains__).perform(at(seconds))

    def run(self, *seconds: float) -> None:
        for second in seconds:
            self.perform(second)
            self.coordinate(second)

    def workitem(self, uid: str = UID) -> Workitem:
        with self.database.begin() as connection:
            return read_workitem(connection, uid)

    def move(self, key: str, to: JobState) -> None:
        with self.database.begin() as connection:
            connection.execute(
                update(jobs).where(jobs.c.key == key).values(state=to, reason="memory ran out", finished_at=at(90))
            )

    def add_result(self, key: str, uid: str) -> None:
        row = {"sop_instance_uid": uid, "job_key": key, "sop_class_uid": "1.2.840.10008.5.1.4.1.1.30"}
        row |= {"series_instance_uid": "1.7.1", "study_instance_uid": STUDY, "file_name": "a.dcm", "sha256": "0"}
        with self.database.begin() as connection:
            connection.execute(insert(result_instances).values(row))

    def reason(self, uid: str = UID) -> str:
        (progress,) = items_of(self.workitem(uid).attributes, "ProcedureStepProgressInformationSequence")
        return str(first_of(progress, "ReasonForCancellation"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk.make(tmp_path, web={"public_url": "https://slides.hospital.org/vst"})
    assert isinstance(made, Desk)
    yield made
    made.database.dispose()


@pytest.fixture
def both(tmp_path: Path, ledger_url: str) -> Iterator[Desk]:
    made = Desk.make(tmp_path, ledger_url)
    assert isinstance(made, Desk)
    yield made
    made.database.dispose()


def parameter(code: Code, text: str) -> Json:
    return data_set(ValueType="TEXT", ConceptNameCodeSequence=code_item(code), TextValue=text)


def test_a_work_item_waits_for_its_slide_and_is_completed_with_its_results(both: Desk) -> None:
    both.order()
    both.run(1)
    assert both.workitem().state is ProcedureStepState.SCHEDULED

    both.receive(slide_header("1.1"), 2)
    both.coordinate(2)
    both.run(10)
    (job,) = both.jobs
    assert (both.workitem().state, both.workitem().job_key) == (ProcedureStepState.IN_PROGRESS, job.key)

    both.move(job.key, JobState.DONE)
    both.add_result(job.key, "1.7.1.1")
    both.run(20, 30, 40)
    done = both.workitem()
    assert done.state is ProcedureStepState.COMPLETED
    assert references(done.attributes) == {"1.7.1": {"1.7.1.1"}}
    assert len(both.jobs) == 1


def test_outputs_say_where_they_can_be_retrieved(desk: Desk) -> None:
    desk.order()
    desk.receive(slide_header("1.1"))
    desk.coordinate(1)
    desk.run(6)
    desk.move(desk.jobs[0].key, JobState.DONE)
    desk.add_result(desk.jobs[0].key, "1.7.1.1")
    desk.run(20)

    (item,) = items_of(desk.workitem().attributes, "UnifiedProcedureStepPerformedProcedureSequence")
    (output,) = items_of(item, "OutputInformationSequence")
    (place,) = items_of(output, "WADORSRetrievalSequence")
    assert first_of(place, "RetrieveURL") == (f"https://slides.hospital.org/vst/dicom-web/studies/{STUDY}/series/1.7.1")


@pytest.mark.parametrize("lost", range(4))
def test_a_kill_before_any_commit_loses_and_doubles_nothing(
    both: Desk, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    from vst_dicom.runtime import coordinator, performing

    both.order()
    both.receive(slide_header("1.1"))
    both.coordinate(1)
    module, name = [
        (performing, "run_slides_now"), (performing, "claim"), (coordinator, "create_job"), (coordinator, "_answer")
    ][lost]  # fmt: skip
    real = getattr(module, name)

    def die(*args: Any, **options: Any) -> None:
        real(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as killing:
        killing.setattr(module, name, die)
        with pytest.raises(KeyboardInterrupt):
            both.run(10)
    both.run(20, 30)

    (job,) = both.jobs
    assert both.workitem().job_key == job.key


def test_model_genes_and_priority_are_those_of_the_work_item(desk: Desk) -> None:
    desk.bundle_sha256["other"] = "c" * 64
    parameters = [parameter(BUNDLE_TO_USE, "other"), parameter(GENES_TO_PREDICT, "ERBB2, ESR1")]
    desk.order(ScheduledProcessingParametersSequence=parameters)
    desk.receive(slide_header("1.1"))
    desk.coordinate(1)
    desk.run(6)

    (job,) = desk.jobs
    assert (job.bundle, job.genes, job.priority) == ("other", ("ERBB2", "ESR1"), 1)


def test_the_code_may_name_the_model(desk: Desk) -> None:
    code = code_item(Code("vst-0400.other-model", "99VST", "Predict by the other model"))
    asked = scheduled(ScheduledWorkitemCodeSequence=code, InputInformationSequence=input_slide(STUDY))

    assert read_order(asked).bundle == "other-model"


def test_two_work_items_for_one_slide_with_two_models_make_two_jobs(desk: Desk) -> None:
    desk.bundle_sha256["other"] = "c" * 64
    desk.order()
    desk.order("2.25.2", ScheduledProcessingParametersSequence=parameter(BUNDLE_TO_USE, "other"))
    desk.order("2.25.3")
    desk.receive(slide_header("1.1"))
    desk.coordinate(1)
    desk.run(6, 7, 8, 9)

    assert sorted(job.bundle for job in desk.jobs) == ["her2st-lite", "other"]
    keys = [desk.workitem(uid).job_key for uid in (UID, "2.25.2", "2.25.3")]
    assert keys[0] == keys[2] != keys[1]
    assert None not in keys


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ScheduledProcessingParametersSequence": parameter(BUNDLE_TO_USE, "../secret")}, "no model bundle"),
        ({"ScheduledProcessingParametersSequence": parameter(BUNDLE_TO_USE, "unknown")}, "does not have"),
        ({"ScheduledProcessingParametersSequence": parameter(GENES_TO_PREDICT, "a gene; <b>")}, "no gene"),
        ({"InputInformationSequence": None}, "one study"),
    ],
)
def test_what_cannot_be_performed_is_canceled_with_the_reason(desk: Desk, changes: dict[str, Any], words: str) -> None:
    desk.order(**changes)
    desk.run(1)

    assert desk.workitem().state is ProcedureStepState.CANCELED
    assert words in desk.reason()


def test_more_than_one_slide_is_not_guessed_between(desk: Desk) -> None:
    desk.order(InputInformationSequence=input_slide(STUDY))
    desk.receive(slide_header("1.1"))
    desk.receive(slide_header("2.1", SeriesInstanceUID="1.2.5", ContainerIdentifier="S2"))
    desk.coordinate(1)
    desk.run(6)
    assert "more than one slide" in desk.reason()

    desk.order("2.25.2", InputInformationSequence=input_slide(STUDY, None, str(slide_header("2.1").SOPInstanceUID)))
    desk.run(7)
    assert desk.workitem("2.25.2").state is ProcedureStepState.IN_PROGRESS


@pytest.mark.parametrize(
    ("state", "code"), [(JobState.REFUSED, "110522"), (JobState.PARKED, "110501"), (JobState.CANCELLED, "110513")]
)
def test_a_job_that_fails_cancels_its_work_item_with_the_reason(desk: Desk, state: JobState, code: str) -> None:
    desk.order()
    desk.receive(slide_header("1.1"))
    desk.coordinate(1)
    desk.run(6)
    desk.move(desk.jobs[0].key, state)
    desk.run(8)

    (progress,) = items_of(desk.workitem().attributes, "ProcedureStepProgressInformationSequence")
    (found,) = items_of(progress, "ProcedureStepDiscontinuationReasonCodeSequence")
    assert (desk.workitem().state, first_of(found, "CodeValue")) == (ProcedureStepState.CANCELED, code)
    assert "memory ran out" in desk.reason()

    desk.order("2.25.2")
    desk.run(9, 10)
    (job,) = desk.jobs
    assert (job.state, desk.workitem("2.25.2").job_key) == (JobState.QUEUED, job.key)


def test_a_request_to_cancel_stops_the_job_unless_another_work_item_needs_it_or_it_is_done(desk: Desk) -> None:
    desk.order()
    desk.order("2.25.2")
    desk.receive(slide_header("1.1"))
    desk.coordinate(1)
    desk.run(6, 7)

    def ask(uid: str) -> None:
        with desk.database.begin() as connection:
            request_cancellation(connection, uid, {}, "DESK", at(8))

    ask(UID)
    assert (desk.workitem().state, desk.jobs[0].state) == (ProcedureStepState.CANCELED, JobState.QUEUED)
    ask("2.25.2")
    assert (desk.workitem("2.25.2").state, desk.jobs[0].state) == (ProcedureStepState.CANCELED, JobState.CANCELLED)

    desk.order("2.25.3")
    desk.run(9, 10)
    desk.move(desk.jobs[0].key, JobState.DONE)
    with pytest.raises(ConflictError, match="chooses not to cancel"):
        ask("2.25.3")


def test_progress_is_told_when_it_changes(desk: Desk) -> None:
    desk.order()
    desk.receive(slide_header("1.1"))
    desk.coordinate(1)
    with desk.database.begin() as connection:
        add_subscription(connection, Subscription("DESK", UID, False, None), at(2), never)
    desk.run(6, 8, 9)
    key = desk.jobs[0].key
    with desk.database.begin() as connection:
        move_job(connection, key, JobState.RUNNING, now=at(10))
        connection.execute(update(jobs).values(stage="predict", progress=0.5))
    desk.run(12, 14)

    with desk.database.begin() as connection:
        reports = [event.report for event in list_events(connection, "DESK", 0, 100)]
        assert forget_events(connection, at(100)) == len(reports)
    told = [items_of(report, "ProcedureStepProgressInformationSequence") for report in reports]
    assert [first_of(report, "EventTypeID") for report in reports] == [1, 1, 3, 3]
    assert [first_of(item[0], "ProcedureStepProgress") for item in told if item] == [0, 50]


def test_a_slide_of_another_stain_cancels_its_work_item(desk: Desk) -> None:
    desk.order()
    desk.receive(stained(slide_header("1.1"), "12345", "HER2 antibody"))
    desk.coordinate(1)
    desk.run(6)

    assert desk.workitem().state is ProcedureStepState.CANCELED
    assert "stain" in desk.reason()
