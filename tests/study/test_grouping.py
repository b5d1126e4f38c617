import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.headers import slide_header
from vst_dicom.study.facts import InstanceFacts, read_facts
from vst_dicom.study.grouping import SlideGroup, group_series


def volume(container: str = "S1", pyramid: str = "") -> InstanceFacts:
    return InstanceFacts(container=container, pyramid_uid=pyramid, is_volume=True)


def label(container: str = "") -> InstanceFacts:
    return InstanceFacts(container=container)


def test_levels_of_one_container_are_one_slide() -> None:
    assert group_series({1: volume(), 2: volume()}) == [SlideGroup("S1", "", (1, 2))]


def test_two_containers_in_one_series_are_two_slides() -> None:
    groups = group_series({1: volume("S1"), 2: volume("S2"), 3: volume("S1")})

    assert [(group.container, group.volumes) for group in groups] == [("S1", (1, 3)), ("S2", (2,))]


def test_two_pyramids_of_one_container_are_two_slides() -> None:
    groups = group_series({1: volume(pyramid="1.1"), 2: volume(pyramid="1.2")})

    assert [group.volumes for group in groups] == [(1,), (2,)]


def test_an_image_without_container_goes_along_if_all_others_agree() -> None:
    assert group_series({1: volume("S1"), 2: volume("")}) == [SlideGroup("S1", "", (1, 2))]


def test_an_image_without_container_stands_alone_if_the_others_disagree() -> None:
    groups = group_series({1: volume("S1"), 2: volume(""), 3: volume("S2")})

    assert [(group.container, group.volumes) for group in groups] == [("", (2,)), ("S1", (1,)), ("S2", (3,))]


def test_a_pyramid_uid_that_only_some_carry_does_not_split_a_slide() -> None:
    assert group_series({1: volume(pyramid="1.1"), 2: volume()}) == [SlideGroup("S1", "1.1", (1, 2))]


def test_a_label_goes_with_the_slide_of_its_container() -> None:
    groups = group_series({1: volume("S1"), 2: volume("S2"), 3: label("S2")})

    assert [(group.volumes, group.aside) for group in groups] == [((1,), ()), ((2,), (3,))]


def test_a_label_without_container_goes_with_the_first_slide() -> None:
    groups = group_series({1: volume("S1"), 2: volume("S2"), 3: label()})

    assert groups[0].aside == (3,)


def test_labels_alone_wait_together() -> None:
    assert group_series({1: label("S1"), 2: label()}) == [SlideGroup("", "", (), (1, 2))]


def test_nothing_makes_no_slide() -> None:
    assert group_series({}) == []


def test_the_key_differs_between_studies_series_containers_and_pyramids() -> None:
    group = SlideGroup("S1", "1.1", (1,))
    keys = {
        group.key("1", "2"),
        group.key("1", "3"),
        group.key("2", "2"),
        SlideGroup("S2", "1.1", (1,)).key("1", "2"),
        SlideGroup("S1", "1.2", (1,)).key("1", "2"),
    }

    assert len(keys) == 5
    assert all(len(key) == 64 for key in keys)


_facts = st.builds(
    InstanceFacts,
    container=st.sampled_from(["", "S1", "S2"]),
    pyramid_uid=st.sampled_from(["", "1.1", "1.2"]),
    is_volume=st.booleans(),
)


@given(facts=st.dictionaries(st.integers(1, 20), _facts, max_size=8), data=st.data())
def test_each_instance_is_in_exactly_one_slide_whatever_the_order(
    facts: dict[int, InstanceFacts], data: st.DataObject
) -> None:
    groups = group_series(facts)
    shuffled = dict(data.draw(st.permutations(list(facts.items()))))

    assert sorted(number for group in groups for number in group.members) == sorted(facts)
    assert group_series(shuffled) == groups
    assert len({(group.container, group.pyramid_uid) for group in groups}) == len(groups)
    assert not any(facts[number].is_volume for group in groups for number in group.aside)


@pytest.mark.parametrize("flavor", ["LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER", ""])
def test_only_volume_images_show_tissue(flavor: str) -> None:
    assert not read_facts(slide_header("1.1", flavor=flavor)).is_volume


def test_a_volume_that_shows_its_label_counts_as_a_label() -> None:
    assert not read_facts(slide_header("1.1", SpecimenLabelInImage="YES")).is_volume
    assert read_facts(slide_header("1.1", SpecimenLabelInImage="NO")).is_volume
