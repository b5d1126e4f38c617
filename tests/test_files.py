import errno
from pathlib import Path

import pytest

from vst_dicom.domain.errors import ResourceError, UsageError
from vst_dicom.files import whole_file, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.txt") as path:
        path.write_text("new")
        assert not (tmp_path / "a.txt").exists()

    assert names(tmp_path) == ["a.txt"]


def test_a_failed_file_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")

    with pytest.raises(KeyError), whole_file(tmp_path / "a.txt") as path:
        path.write_text("half")
        raise KeyError

    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_appears_with_its_parents_only_when_it_is_whole(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "deep" / "out") as folder:
        (folder / "a.txt").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()

    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ["a.txt"]


def test_a_failed_folder_leaves_nothing_not_even_its_parents(tmp_path: Path) -> None:
    with pytest.raises(KeyError), whole_folder(tmp_path / "deep" / "out") as folder:
        (folder / "a.txt").write_text("1")
        raise KeyError

    assert names(tmp_path) == []


@pytest.mark.parametrize("is_file", [True, False])
def test_what_lies_there_already_is_not_touched(tmp_path: Path, is_file: bool) -> None:
    out = tmp_path / "out"
    if is_file:
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine").write_text("mine")

    with pytest.raises(UsageError, match="not an empty folder"), whole_folder(out):
        pytest.fail("must not begin")

    assert (out if is_file else out / "mine").read_text() == "mine"


def test_earlier_content_is_replaced_on_request_only_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("1")

    with whole_folder(out, overwrite=True) as folder:
        (folder / "new").write_text("2")
        assert names(out) == ["old"]

    assert names(tmp_path) == ["out"]
    assert names(out) == ["new"]


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="disk is full"), whole_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
