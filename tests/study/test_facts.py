import json

import pytest
from pydicom.dataset import Dataset

from tests.study.headers import part_header, slide_header
from vst_dicom.study.facts import Concatenation, InstanceFacts, read_facts


def test_facts_of_a_whole_image() -> None:
    facts = read_facts(slide_header("1.1", size=1000, PyramidUID="1.5", derived="RESAMPLED"))

    assert facts == InstanceFacts(
        container="S1",
        pyramid_uid="1.5",
        is_volume=True,
        is_resampled=True,
        n_rows=1000,
        n_columns=1000,
        n_frames=16,
        n_frames_of_image=16,
    )


def test_facts_of_a_part() -> None:
    facts = read_facts(part_header("1.1", 2, total=3, first_frame=8, n_frames=4))

    assert facts.concatenation == Concatenation("1.2.3.9", 2, 3, 8)
    assert (facts.n_frames, facts.n_frames_of_image) == (4, 16)


def test_frames_of_an_image_count_planes_and_paths() -> None:
    header = slide_header("1.1", size=512, TotalPixelMatrixFocalPlanes=3, NumberOfOpticalPaths=2)

    assert read_facts(header).n_frames_of_image == 24


def test_a_sparse_image_does_not_say_how_many_frames_it_has() -> None:
    assert read_facts(slide_header("1.1", DimensionOrganizationType="TILED_SPARSE")).n_frames_of_image is None


def test_an_empty_header_states_nothing() -> None:
    assert read_facts(Dataset()) == InstanceFacts()


@pytest.mark.parametrize("keyword", ["TotalPixelMatrixRows", "Rows", "NumberOfFrames"])
def test_broken_and_missing_numbers_count_as_not_stated(keyword: str) -> None:
    header = slide_header("1.1")
    header[keyword].value = None

    read_facts(header)
    del header[keyword]
    assert read_facts(header).is_volume


def test_device_uids_come_from_the_instance_and_all_that_contributed() -> None:
    model = Dataset()
    model.DeviceUID = "2.25.7"
    header = slide_header("1.1", DeviceUID="1.9", ContributingEquipmentSequence=[Dataset(), model])

    assert read_facts(header).device_uids == {"1.9", "2.25.7"}


def test_facts_survive_the_database() -> None:
    for header in (part_header("1.1", 2, total=3, first_frame=8, n_frames=4), slide_header("1.1", DeviceUID="1.9")):
        facts = read_facts(header)

        assert InstanceFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
