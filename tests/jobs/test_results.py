from pathlib import Path

import pytest

from vst_dicom.domain.errors import ResourceError
from vst_dicom.jobs.results import MANIFEST_FILE, ResultStore, read_verified

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-2 B.1


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def write(store: ResultStore, attempt: int, content: str = "abc") -> Path:
    folder = store.work_folder("k", attempt)
    folder.mkdir()
    (folder / "a.dcm").write_text(content)
    return folder


def test_a_published_result_is_found_with_its_hashes(store: ResultStore) -> None:
    assert store.publish("k", write(store, 1)) == {"a.dcm": ABC}

    assert store.find("k") == {"a.dcm": ABC}


def test_a_result_that_is_not_there_is_not_found(store: ResultStore) -> None:
    assert store.find("k") is None


def test_the_first_result_stands(store: ResultStore) -> None:
    store.publish("k", write(store, 1))

    assert store.publish("k", write(store, 2, "other")) == {"a.dcm": ABC}
    assert (store.path("k") / "a.dcm").read_text() == "abc"


def test_a_result_beside_a_damaged_one_is_for_the_next_attempt(store: ResultStore) -> None:
    store.publish("k", write(store, 1))
    (store.path("k") / "a.dcm").write_text("abd")

    with pytest.raises(ResourceError, match="damaged"):
        store.publish("k", write(store, 2))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "a.dcm").write_text("abd"),
        lambda folder: (folder / "a.dcm").unlink(),
        lambda folder: (folder / "b.dcm").write_text("more"),
        lambda folder: (folder / MANIFEST_FILE).unlink(),
        lambda folder: (folder / MANIFEST_FILE).write_text("[]"),
    ],
)
def test_anything_but_exactly_the_files_of_the_manifest_is_set_aside(store: ResultStore, damage: object) -> None:
    store.publish("k", write(store, 1))
    damage(store.path("k"))  # type: ignore[operator]

    assert read_verified(store.path("k")) is None
    assert store.find("k") is None
    assert not store.path("k").exists()


def test_leftovers_are_named_by_key_and_attempt_and_discarded_one_by_one(store: ResultStore) -> None:
    write(store, 1)
    write(store, 2)

    store.discard("k", 1)

    assert store.leftovers() == [("k", 2)]


def test_a_work_folder_begins_empty(store: ResultStore) -> None:
    write(store, 1)

    assert not store.work_folder("k", 1).exists()
