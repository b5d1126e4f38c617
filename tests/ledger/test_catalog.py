"""What can be looked at, on either database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, insert, update

from vst_dicom.ledger.catalog import Place, Wanted, list_instances, list_results, list_series, list_studies
from vst_dicom.ledger.database import for_reading, open_database
from vst_dicom.ledger.deliveries import ResultInstance
from vst_dicom.ledger.jobs import create_job
from vst_dicom.ledger.results import record_result
from vst_dicom.ledger.tables import instances, jobs, shadows, slides

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SLIDE_IMAGE, MAP = "1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.840.10008.5.1.4.1.1.30"


@pytest.fixture
def database(ledger_url: str) -> Iterator[Engine]:
    opened = open_database(ledger_url)
    yield opened
    opened.dispose()


def add_slide(database: Engine, number: int, *, accepted: bool = True, levels: int = 2) -> str:
    """Receive a slide with a label; returns the key of its job."""
    key = f"{number:064x}"
    study, series = f"1.{number}", f"1.{number}.1"
    with database.begin() as connection:
        slide_id = connection.execute(
            insert(slides)
            .values(
                group_key=key,
                study_instance_uid=study,
                series_instance_uid=series,
                state="queued" if accepted else "held",
                first_instance_at=NOW,
                last_instance_at=NOW,
            )
            .returning(slides.c.id)
        ).scalar_one()
        for level in range(levels + 1):
            row = {
                "sop_instance_uid": f"{series}.{level + 1}",
                "revision": 0,
                "sop_class_uid": SLIDE_IMAGE,
                "transfer_syntax_uid": "1.2",
                "study_instance_uid": study,
                "series_instance_uid": series,
                "file_name": f"00/{number}-{level}.dcm",
                "n_bytes": 1,
                "received_at": NOW + timedelta(hours=number),
                "slide_id": slide_id,
                "facts": {"is_volume": level < levels},
            }
            connection.execute(insert(instances).values(row))
        if accepted:
            values = {"predecessor_key": None, "instance_ids": (), "bundle": "b", "genes": None, "destinations": ()}
            create_job(
                connection, key=key, slide_id=slide_id, priority=100, now=NOW + timedelta(hours=number), **values
            )
    return key


def publish(database: Engine, key: str, number: int) -> None:
    result = ResultInstance(f"1.{number}.9.1", MAP, f"1.{number}.9", f"1.{number}", "parametric-map.dcm", "ab" * 32)
    with database.begin() as connection:
        record_result(connection, key, [result])


def test_slide_and_result_are_one_study(database: Engine) -> None:
    key = add_slide(database, 1)
    publish(database, key, 1)
    with for_reading(database).begin() as connection:
        (study,) = list_studies(connection, Wanted(), limit=10)
        series = list_series(connection, Wanted(), limit=10)
        found = list_instances(connection, Wanted(), limit=10)

    assert (study.study_instance_uid, study.n_series, study.n_instances) == ("1.1", 2, 3)
    assert study.place == Place("", "00/1-0.dcm")
    assert [(one.series_instance_uid, one.n_instances, one.place) for one in series] == [
        ("1.1.1", 2, Place("", "00/1-0.dcm")),
        ("1.1.9", 1, Place(key, "parametric-map.dcm")),
    ]
    assert [one.sop_instance_uid for one in found] == ["1.1.1.1", "1.1.1.2", "1.1.9.1"]


def test_labels_held_slides_and_removed_files_are_left_out(database: Engine) -> None:
    add_slide(database, 1)
    add_slide(database, 2, accepted=False)
    with database.begin() as connection:
        removed = instances.c.file_name == "00/1-0.dcm"
        connection.execute(update(instances).where(removed).values(removed_at=NOW))
    with for_reading(database).begin() as connection:
        found = list_instances(connection, Wanted(), limit=10)

    assert [one.place.file_name for one in found] == ["00/1-1.dcm"]


def test_of_several_revisions_the_last_one_that_was_grouped_is_shown(database: Engine) -> None:
    add_slide(database, 1, levels=1)
    with database.begin() as connection:
        first = connection.execute(instances.select().order_by(instances.c.id)).mappings().first()
        assert first is not None
        for revision, slide_id in ((1, first["slide_id"]), (2, None)):
            row = {**first, "id": None, "revision": revision, "file_name": f"00/r{revision}.dcm", "slide_id": slide_id}
            del row["id"]
            connection.execute(insert(instances).values(row))
    with for_reading(database).begin() as connection:
        found = list_instances(connection, Wanted(), limit=10)

    assert [one.place.file_name for one in found] == ["00/r1.dcm"]


def test_removed_results_are_left_out(database: Engine) -> None:
    keys = [add_slide(database, number) for number in (1, 2, 3)]
    for number, key in enumerate(keys[:2], start=1):
        publish(database, key, number)
    with database.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.key == keys[1]).values(copies_removed_at=NOW))
    with for_reading(database).begin() as connection:
        found = list_results(connection)
        classes = {one.sop_class_uid for one in list_instances(connection, Wanted(("1.2",)), limit=10)}

    assert [(one.key, one.study_instance_uid, one.series_instance_uid) for one in found] == [(keys[0], "1.1", "1.1.1")]
    assert classes == {SLIDE_IMAGE}


def test_results_of_shadows_are_never_shown(database: Engine) -> None:
    key, beside = add_slide(database, 1), add_slide(database, 2)
    publish(database, beside, 2)
    with database.begin() as connection:
        connection.execute(insert(shadows).values(job_key=beside, of_key=key))
    with for_reading(database).begin() as connection:
        assert list_results(connection) == []
        assert {one.sop_class_uid for one in list_instances(connection, Wanted(), limit=10)} == {SLIDE_IMAGE}


def test_the_latest_study_comes_first_and_pages_join(database: Engine) -> None:
    for number in (2, 3, 1):
        publish(database, add_slide(database, number), number)
    with for_reading(database).begin() as connection:
        pages = [list_studies(connection, Wanted(), limit=2, offset=offset) for offset in (0, 2)]
        results = list_results(connection, limit=2)

    assert [study.study_instance_uid for page in pages for study in page] == ["1.3", "1.2", "1.1"]
    assert [one.study_instance_uid for one in results] == ["1.3", "1.2"]


def test_counts_of_a_study_do_not_depend_on_what_was_asked_for(database: Engine) -> None:
    publish(database, add_slide(database, 1), 1)
    add_slide(database, 2)
    with for_reading(database).begin() as connection:
        (study,) = list_studies(connection, Wanted(sop_class_uids=(MAP,)), limit=10)
        (series,) = list_series(connection, Wanted(sop_instance_uids=("1.1.1.2",)), limit=10)

    assert (study.study_instance_uid, study.n_instances) == ("1.1", 3)
    assert (series.series_instance_uid, series.n_instances) == ("1.1.1", 2)


def test_a_reader_waits_for_no_writer(database: Engine) -> None:
    add_slide(database, 1)
    with database.begin() as writer:
        writer.execute(update(instances).values(calling_ae="OTHER"))
        with for_reading(database).begin() as connection:
            assert len(list_instances(connection, Wanted(), limit=10)) == 2
