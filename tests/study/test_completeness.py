import pytest

from tests.study.headers import part_header, slide_header
from vst_dicom.study.completeness import find_base, find_missing
from vst_dicom.study.facts import InstanceFacts, read_facts

BASE = read_facts(slide_header("1.1"))
LOWER = read_facts(slide_header("1.2", size=512, derived="RESAMPLED"))
LABEL = read_facts(slide_header("1.3", size=4096, flavor="LABEL"))


def part(number: int | None, first_frame: int, n_frames: int, total: int | None = None) -> InstanceFacts:
    return read_facts(
        part_header(f"1.4.{first_frame}", number, total=total, first_frame=first_frame, n_frames=n_frames)
    )


def test_a_base_level_alone_is_whole() -> None:
    assert find_missing([BASE]) == ""


def test_a_pyramid_is_whole() -> None:
    assert find_missing([LOWER, BASE, LABEL]) == ""


def test_labels_alone_are_not() -> None:
    assert "no image of tissue" in find_missing([LABEL])


def test_nothing_is_not() -> None:
    assert "no image of tissue" in find_missing([])


def test_resampled_images_alone_lack_their_base() -> None:
    missing = find_missing([LOWER])

    assert "base level did not come" in missing
    assert "studies run-now" in missing


def test_a_person_may_take_the_largest_resampled_image_for_the_base() -> None:
    assert find_missing([LOWER], asked=True) == ""


def test_an_image_that_does_not_say_whether_it_was_resampled_may_be_the_base() -> None:
    header = slide_header("1.1", ImageType=["DERIVED", "PRIMARY", "VOLUME"])

    assert find_missing([read_facts(header)]) == ""


def test_parts_of_a_stated_number_are_waited_for() -> None:
    parts = [part(1, 0, 6, total=3), part(3, 12, 4, total=3)]

    assert find_missing(parts) == (
        "level 1024 x 1024: part 2 of 3 did not come yet (In-concatenation Number (0020,9162))"
    )
    assert find_missing([*parts, part(2, 6, 6, total=3)]) == ""


def test_a_total_that_only_one_part_states_holds_for_all() -> None:
    assert "part 2 of 2" in find_missing([part(1, 0, 16, total=2)])
    assert find_missing([part(1, 0, 8), part(2, 8, 8, total=2)]) == ""


def test_a_person_cannot_make_a_divided_image_whole() -> None:
    assert "part 2 of 2" in find_missing([part(1, 0, 8, total=2)], asked=True)


def test_without_total_frames_are_counted() -> None:
    assert find_missing([part(1, 0, 6)]) == "level 1024 x 1024: 6 of 16 frames came"
    assert find_missing([part(1, 0, 6), part(2, 6, 10)]) == ""


def test_without_total_a_gap_shows() -> None:
    missing = find_missing([part(3, 12, 4), part(1, 0, 6)])

    assert missing == "level 1024 x 1024: the part from frame 7 on did not come yet"


def test_a_first_part_that_is_missing_shows() -> None:
    assert find_missing([part(2, 6, 10)]) == "level 1024 x 1024: the part from frame 1 on did not come yet"


def test_a_sparse_image_without_total_is_whole_when_it_has_no_gap() -> None:
    header = part_header("1.1", 1, total=None, first_frame=0, n_frames=5)
    header.DimensionOrganizationType = "TILED_SPARSE"

    assert find_missing([read_facts(header)]) == ""


def test_parts_that_overlap_are_no_gap() -> None:
    assert find_missing([part(1, 0, 10), part(2, 6, 10)]) == ""


def test_a_divided_lower_level_is_waited_for_too() -> None:
    assert "part 2 of 2" in find_missing([BASE, part(1, 0, 8, total=2)])


def test_a_huge_total_is_answered_shortly() -> None:
    missing = find_missing([part(1, 0, 1, total=60_000)])

    assert "part 2, 3, 4, 5, 6 … of 60000" in missing


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_base_is_the_largest_image_of_tissue(order: tuple[int, ...]) -> None:
    facts = {1: LOWER, 2: BASE, 3: LABEL}

    assert find_base({number: facts[number] for number in order}) == 2


def test_the_base_of_a_divided_image_is_its_first_part() -> None:
    assert find_base({1: part(2, 8, 8, total=2), 2: part(1, 0, 8, total=2)}) == 2


def test_labels_have_no_base() -> None:
    assert find_base({3: LABEL}) is None
