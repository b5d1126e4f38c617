"""Jobs through the real main path, with a stand-in for the model."""

import hashlib
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import Engine, func, select, update

from tests.jobs.ledgers import job_of
from tests.pipeline.brightness import BrightnessPredictor
from tests.runtime.slides import NOW, add_slide_job
from vst_dicom.config import EncodeSettings, Settings
from vst_dicom.domain.engine import EngineFacts
from vst_dicom.domain.forms import ResultForm
from vst_dicom.jobs.attempt import JobRunner
from vst_dicom.jobs.results import MANIFEST_FILE, ResultStore
from vst_dicom.ledger.coarse_jobs import coarse_key, create_coarse
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import list_deliveries, list_result_instances
from vst_dicom.ledger.jobs import move_job
from vst_dicom.ledger.shadows import Shadow, list_shadows
from vst_dicom.ledger.states import DeliveryState, JobState
from vst_dicom.ledger.tables import deliveries, instances, result_instances
from vst_dicom.runtime.processing import SlideProcessor


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    destinations = {
        "archive": {"ae_title": "ARCHIVE", "host": "127.0.0.1"},
        "sender": {"ae_title": "SCANNER", "host": "h"},
    }
    return Settings(data_dir=tmp_path, destinations=destinations)


@pytest.fixture
def database(settings: Settings) -> Engine:
    return open_database(settings.database)


def run(database: Engine, settings: Settings, key: str) -> JobState:
    processor = SlideProcessor(database, settings, lambda _bundle: BrightnessPredictor())  # type: ignore[arg-type,return-value]
    store = ResultStore(settings.results)
    runner = JobRunner(database, store, processor.process, processor.close, 3, Event())
    runner.run(key, job_of(database, key).round)
    return job_of(database, key).state


def shadows_of(database: Engine, key: str) -> list[Shadow]:
    with database.begin() as connection:
        return list_shadows(connection, key)


@pytest.fixture
def shadowing(settings: Settings) -> Settings:
    """Run the built-in bundle beside; the stand-in answers for it too."""
    return settings.model_copy(update={"predict": settings.predict.model_copy(update={"shadow": ("her2st-lite",)})})


def test_a_shadow_runs_beside_a_finished_job_and_says_how_far_both_agree(database: Engine, shadowing: Settings) -> None:
    key = add_slide_job(database, shadowing, 1)
    assert run(database, shadowing, key) is JobState.DONE
    (shadow,) = shadows_of(database, key)

    assert run(database, shadowing, shadow.job_key) is JobState.DONE

    folder = shadowing.results / shadow.job_key
    assert sorted(path.name for path in folder.iterdir()) == ["expression.h5ad", "manifest.json", "summary.json"]
    summary = json.loads((folder / "summary.json").read_text())
    assert any("a shadow of job" in warning for warning in summary["warnings"])
    (done,) = shadows_of(database, key)
    assert done.figures == summary["shadow"]
    assert done.figures["of"] == key
    assert (done.figures["n_genes"], done.figures["only_shadow"]) == (1, ["B", "R"])
    assert done.figures["genes"]["G"]["mean_difference"] == 0
    with database.begin() as connection:
        assert list_deliveries(connection, shadow.job_key) == []
        assert list_result_instances(connection, shadow.job_key) == []
    assert shadows_of(database, shadow.job_key) == []


def test_a_job_without_shadows_has_none(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)
    run(database, settings, key)

    assert shadows_of(database, key) == []


def test_a_shadow_that_cannot_be_read_stops_no_result(database: Engine, settings: Settings) -> None:
    settings = settings.model_copy(update={"predict": settings.predict.model_copy(update={"shadow": ("nobody",)})})
    key = add_slide_job(database, settings, 1)

    assert run(database, settings, key) is JobState.DONE
    assert shadows_of(database, key) == []


def test_a_shadow_whose_main_result_is_gone_says_so(database: Engine, shadowing: Settings) -> None:
    key = add_slide_job(database, shadowing, 1)
    run(database, shadowing, key)
    (shadow,) = shadows_of(database, key)
    shutil.rmtree(shadowing.results / key)

    assert run(database, shadowing, shadow.job_key) is JobState.DONE
    (done,) = shadows_of(database, key)
    assert done.figures == {"of": key, "problem": "the result that is used has no table of genes"}


def queue_again(database: Engine, key: str) -> None:
    with database.begin() as connection:
        move_job(connection, key, JobState.QUEUED, now=datetime.now(UTC))


def hashes_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.dcm")}


def test_a_job_leaves_a_result_its_rows_and_its_deliveries(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)

    assert run(database, settings, key) is JobState.DONE

    with database.begin() as connection:
        rows = list_result_instances(connection, key)
        (delivery,) = list_deliveries(connection, key)
    assert {row.file_name: row.sha256 for row in rows} == hashes_of(settings.results / key)
    assert {row.study_instance_uid for row in rows} == {"1.2.826.0.1.3680043.8.498.7.1.1"}
    assert len(rows) == 5
    assert (delivery.destination, delivery.state, delivery.priority) == ("archive", DeliveryState.WAITING, 50)
    maps = pydicom.dcmread(settings.results / key / "parametric-map.dcm")
    assert (settings.results / key / MANIFEST_FILE).is_file()
    assert [row.sop_instance_uid for row in rows if row.file_name == "parametric-map.dcm"] == [maps.SOPInstanceUID]


def test_a_result_that_was_lost_is_made_again_byte_for_byte(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)
    run(database, settings, key)
    before = hashes_of(settings.results / key)
    shutil.rmtree(settings.results / key)
    queue_again(database, key)

    assert run(database, settings, key) is JobState.DONE
    assert hashes_of(settings.results / key) == before


def test_a_result_with_other_bytes_than_were_recorded_is_never_sent(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)
    run(database, settings, key)
    with database.begin() as connection:
        connection.execute(update(result_instances).values(sha256="0" * 64))
    queue_again(database, key)

    assert run(database, settings, key) is JobState.PARKED
    assert "differs from the one that was recorded" in job_of(database, key).reason


def test_a_job_that_is_done_again_is_sent_again(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)
    run(database, settings, key)
    with database.begin() as connection:
        connection.execute(update(deliveries).values(state="committed", accepted=["1.2"], attempts=3))
    queue_again(database, key)

    run(database, settings, key)

    with database.begin() as connection:
        (delivery,) = list_deliveries(connection, key)
    assert (delivery.state, delivery.accepted, delivery.attempts) == (DeliveryState.WAITING, frozenset(), 3)


def test_a_result_goes_back_to_its_sender_where_the_site_wants_it(database: Engine, settings: Settings) -> None:
    reply = settings.delivery.model_copy(update={"reply_to_sender": True})
    key = add_slide_job(database, settings, 1)

    run(database, settings.model_copy(update={"delivery": reply}), key)

    with database.begin() as connection:
        assert [row.destination for row in list_deliveries(connection, key)] == ["archive", "sender"]


def test_a_header_corrected_after_the_fact_makes_new_objects(database: Engine, settings: Settings) -> None:
    def correct(dataset: Dataset) -> None:
        dataset.AccessionNumber = "4711"

    first = add_slide_job(database, settings, 1, "1" * 64)
    second = add_slide_job(database, settings, 1, "2" * 64, change=correct)

    assert (run(database, settings, first), run(database, settings, second)) == (JobState.DONE, JobState.DONE)
    with database.begin() as connection:
        assert connection.execute(select(func.count()).select_from(result_instances)).scalar_one() == 10


def test_results_are_dated_by_the_first_start(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)

    run(database, settings, key)

    job = job_of(database, key)
    maps = pydicom.dcmread(settings.results / key / "parametric-map.dcm", stop_before_pixels=True)
    assert job.started_at is not None
    assert job.started_at != NOW
    offset = maps.get("TimezoneOffsetFromUTC", "+0000")
    stated = datetime.strptime(f"{maps.ContentDate}{str(maps.ContentTime)[:6]}{offset}", "%Y%m%d%H%M%S%z")
    assert stated == job.started_at.replace(microsecond=0)


def test_a_slide_whose_file_is_gone_is_refused(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)
    with database.begin() as connection:
        name = connection.execute(select(instances.c.file_name)).scalar_one()
    (settings.spool / name).unlink()

    assert run(database, settings, key) is JobState.REFUSED
    assert not (settings.results / key).exists()


def test_a_slide_without_tissue_is_refused_and_leaves_nothing(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)
    with database.begin() as connection:
        name = connection.execute(select(instances.c.file_name)).scalar_one()
    import numpy as np

    from tests.wsi_builder import JPEG, Wsi, write_wsi

    write_wsi(settings.spool / name, Wsi([np.full((768, 768, 3), 240, dtype=np.uint8)], (256, 256), JPEG))

    assert run(database, settings, key) is JobState.REFUSED
    with database.begin() as connection:
        assert list_result_instances(connection, key) == []
        assert list_deliveries(connection, key) == []


def test_progress_of_the_main_path_reaches_the_row(database: Engine, settings: Settings) -> None:
    key = add_slide_job(database, settings, 1)

    run(database, settings, key)

    assert job_of(database, key).stage == "export"


def test_a_site_chooses_the_forms_of_its_results(database: Engine, settings: Settings) -> None:
    chosen = settings.model_copy(update={"encode": EncodeSettings(forms=(ResultForm.SEGMENTATION, ResultForm.REPORT))})
    key = add_slide_job(database, chosen, 1)

    assert run(database, chosen, key) is JobState.DONE

    assert {path.name for path in (chosen.results / key).glob("*.dcm")} == {
        "segmentation.dcm",
        "gene-segmentation.dcm",
        "report.dcm",
    }


def test_a_gene_that_settings_color_and_a_bundle_lacks_stops_nothing_and_is_named(
    database: Engine, settings: Settings
) -> None:
    chosen = settings.model_copy(update={"encode": EncodeSettings(colored_genes=("NOSUCH", "G"))})
    key = add_slide_job(database, chosen, 1)

    assert run(database, chosen, key) is JobState.DONE

    summary = json.loads((chosen.results / key / "summary.json").read_text())
    assert any("NOSUCH" in warning for warning in summary["warnings"])
    groups = pydicom.dcmread(chosen.results / key / "annotations.dcm").AnnotationGroupSequence
    assert {group.AnnotationGroupLabel.split()[0] for group in groups if group.GraphicType == "RECTANGLE"} == {"G"}


def test_an_object_that_a_validator_refuses_is_sent_to_nobody_and_the_job_says_why(
    database: Engine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validator = tmp_path / "programs" / "dciodvfy"
    validator.parent.mkdir()
    validator.write_text(
        "#!/bin/sh\necho 'Error - </SegmentSequence(0062,0002)[1]/SegmentLabel(0062,0005)> - Bad = <x>'\n"
    )
    validator.chmod(0o755)
    monkeypatch.setenv("PATH", str(validator.parent), prepend=os.pathsep)
    key = add_slide_job(database, settings, 1)

    assert run(database, settings, key) is JobState.PARKED

    reason = job_of(database, key).reason
    assert "breaks the standard, says dciodvfy: Error - </SegmentSequence(0062,0002)/SegmentLabel(0062,0005)>" in reason
    assert not (settings.results / key).exists()
    with database.begin() as connection:
        assert list_result_instances(connection, key) == []
        assert list_deliveries(connection, key) == []


def test_a_coarse_result_is_delivered_before_the_whole_one_and_says_what_it_is(
    database: Engine, shadowing: Settings
) -> None:
    key = add_slide_job(database, shadowing, 1)
    whole_job = job_of(database, key)
    with database.begin() as connection:
        create_coarse(connection, whole_job, None)

    assert [run(database, shadowing, one) for one in (coarse_key(key), key)] == [JobState.DONE, JobState.DONE]

    folders = [shadowing.results / one for one in (coarse_key(key), key)]
    coarse, whole = (json.loads((folder / "summary.json").read_text()) for folder in folders)
    assert whole["n_tiles"] / 4 <= coarse["n_tiles"] < whole["n_tiles"]
    assert any("coarse and preliminary: one tile of four" in warning for warning in coarse["warnings"])
    assert any(f"the coarse one of job {coarse_key(key)}" in warning for warning in whole["warnings"])
    assert coarse["hotspots"] == []
    maps = [pydicom.dcmread(folder / "parametric-map.dcm", stop_before_pixels=True) for folder in folders]
    assert maps[0].SeriesDescription == "Coarse: Predicted gene expression maps, Research Use Only"
    assert maps[1].SeriesDescription == "Predicted gene expression maps, Research Use Only"
    assert maps[0].SOPInstanceUID != maps[1].SOPInstanceUID
    spacing = [float(one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[0]) for one in maps]
    assert spacing[0] == pytest.approx(2 * spacing[1])
    with database.begin() as connection:
        assert len(list_deliveries(connection, coarse_key(key))) == len(list_deliveries(connection, key)) > 0
    assert shadows_of(database, coarse_key(key)) == []


@pytest.mark.parametrize(("steps_down", "n_loaded"), [((), 1), (("memory of a device ran out",), 2)])
def test_after_a_lack_of_memory_the_next_slide_starts_at_the_top_again(
    database: Engine, settings: Settings, tmp_path: Path, steps_down: tuple[str, ...], n_loaded: int
) -> None:
    loaded: list[str] = []

    def load(bundle: str) -> BrightnessPredictor:
        loaded.append(bundle)
        predictor = BrightnessPredictor()
        predictor.engine.facts = EngineFacts("torch", "cpu", "fp32", 8, {}, steps_down)
        return predictor

    processor = SlideProcessor(database, settings, load)  # type: ignore[arg-type]
    store = ResultStore(settings.results)
    runner = JobRunner(database, store, processor.process, processor.close, 3, Event())
    for number in (1, 2):
        key = add_slide_job(database, settings, number)
        runner.run(key, job_of(database, key).round)
        summary = json.loads((settings.results / key / "summary.json").read_text())

        assert summary["steps_down"] == list(steps_down)
    assert len(loaded) == n_loaded
