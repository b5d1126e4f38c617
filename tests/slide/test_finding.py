from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.study.headers import painted
from tests.wsi_builder import JPEG_LS, Wsi, paint, write_wsi
from vst_dicom.domain.errors import (
    DamagedInstanceError,
    MissingInputError,
    NotDicomError,
    UnsupportedInstanceError,
    UsageError,
)
from vst_dicom.slide.finding import DicomFiles, VendorFile, find_slides
from vst_dicom.slide.opening import open_slide

IMAGE = paint(40, 40)

CT = "1.2.840.10008.5.1.4.1.1.2"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"


def write_other(path: Path, sop_class: str, modality: str) -> Path:
    """Write an instance of another SOP class."""

    def change(dataset: Dataset) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
        dataset.Modality = modality

    return write_wsi(path, Wsi([IMAGE], change=change))


def test_a_folder_is_searched_below_and_yields_one_slide_per_series(tmp_path: Path) -> None:
    write_wsi(tmp_path / "one" / "a.dcm", Wsi([IMAGE], series="1.2.1"))
    write_wsi(tmp_path / "one" / "deep" / "00000001", Wsi([paint(20, 20)], series="1.2.1"))
    write_wsi(tmp_path / "two" / "b.dcm", Wsi([IMAGE], series="1.2.2"))

    slides = find_slides([tmp_path])

    assert [len(slide.instances) for slide in slides if isinstance(slide, DicomFiles)] == [2, 1]


def test_two_glasses_in_one_series_are_two_slides(tmp_path: Path) -> None:
    for container in ("S1", "S2"):
        write_wsi(tmp_path / f"{container}.dcm", Wsi([IMAGE], container=container))

    assert len(find_slides([tmp_path])) == 2
    with pytest.raises(UsageError, match="2 slides found, give one of them"):
        open_slide([tmp_path])


def test_two_pyramids_in_one_series_are_two_slides(tmp_path: Path) -> None:
    for pyramid in ("1.5.1", "1.5.2"):

        def change(dataset: Dataset, pyramid: str = pyramid) -> None:
            dataset.PyramidUID = pyramid

        write_wsi(tmp_path / f"{pyramid}.dcm", Wsi([IMAGE], change=change))

    assert len(find_slides([tmp_path])) == 2


def test_a_pyramid_uid_that_only_some_instances_carry_does_not_split_a_slide(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.PyramidUID = "1.5.1"

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], change=change))
    write_wsi(tmp_path / "b.dcm", Wsi([paint(20, 20)]))

    assert len(find_slides([tmp_path])) == 1


@pytest.mark.parametrize("flavor", ["LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER"])
def test_label_overview_and_thumbnail_are_set_aside(tmp_path: Path, flavor: str) -> None:
    volume = write_wsi(tmp_path / "volume.dcm", Wsi([IMAGE]))
    aside = write_wsi(tmp_path / "aside.dcm", Wsi([paint(80, 80)], flavor=flavor))

    (slide,) = find_slides([tmp_path])

    assert isinstance(slide, DicomFiles)
    assert [instance.path for instance in slide.instances] == [volume]
    assert slide.set_aside == (aside,)
    with open_slide([tmp_path]) as opened:
        assert len(opened.levels) == 1


def test_only_the_encoding_of_the_volume_image_matters(tmp_path: Path) -> None:
    def rename(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data.replace(JPEG_LS.encode(), b"1.2.840.10008.1.2.4.70", 1))

    volume = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], transfer_syntax=JPEG_LS))
    rename(write_wsi(tmp_path / "label.dcm", Wsi([IMAGE], transfer_syntax=JPEG_LS, flavor="LABEL")))

    open_slide([tmp_path]).close()
    rename(volume)
    with pytest.raises(UnsupportedInstanceError, match=r"a\.dcm: transfer syntax JPEG Lossless.*4\.70"):
        open_slide([tmp_path])


def test_a_volume_image_that_shows_the_label_is_set_aside(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.SpecimenLabelInImage = "YES"

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], change=change))

    with pytest.raises(UnsupportedInstanceError, match="only label, overview or thumbnail images"):
        find_slides([tmp_path])


def test_an_image_that_does_not_say_what_it_is_is_not_opened(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        del dataset.ImageType

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], change=change))

    with pytest.raises(UnsupportedInstanceError, match="VOLUME"):
        find_slides([tmp_path])


def test_results_beside_a_slide_are_passed_over(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))
    write_other(tmp_path / "parametric-map.dcm", PARAMETRIC_MAP, "OT")
    (tmp_path / "overview.png").write_bytes(b"\x89PNG")
    (tmp_path / "summary.json").write_text("{}")

    (slide,) = find_slides([tmp_path])

    assert isinstance(slide, DicomFiles)
    assert len(slide.instances) == 1


def test_a_gene_painted_over_a_slide_is_no_slide(tmp_path: Path) -> None:
    write_wsi(tmp_path / "results" / "overlay.dcm", Wsi([IMAGE], series="1.2.2", change=painted))

    with pytest.raises(UnsupportedInstanceError, match="results themselves"):
        find_slides([tmp_path])
    write_wsi(tmp_path / "slide.dcm", Wsi([IMAGE], series="1.2.1"))
    (slide,) = find_slides([tmp_path])
    assert isinstance(slide, DicomFiles)
    assert [instance.path.name for instance in slide.instances] == ["slide.dcm"]


def test_a_ct_series_is_refused_by_name(tmp_path: Path) -> None:
    path = write_other(tmp_path / "a.dcm", CT, "CT")

    for given in (tmp_path, path):
        with pytest.raises(UnsupportedInstanceError, match=r"CT Image Storage \(modality CT\)"):
            find_slides([given])


def test_a_path_that_does_not_exist_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="does not exist"):
        find_slides([tmp_path / "nothing"])


def test_an_empty_folder_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no slide found"):
        find_slides([tmp_path])


@pytest.mark.parametrize("name", ["a.dcm", "a.svs", "a"])
def test_an_empty_file_is_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    with pytest.raises(DamagedInstanceError, match="is empty"):
        find_slides([tmp_path / name])


def test_an_empty_dicom_file_in_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))
    (tmp_path / "b.dcm").touch()

    with pytest.raises(DamagedInstanceError, match=r"b\.dcm is empty"):
        find_slides([tmp_path])


def test_a_file_of_another_kind_is_not_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello " * 50)

    with pytest.raises(NotDicomError, match=r"a\.txt is not a DICOM file"):
        find_slides([tmp_path / "a.txt"])


@pytest.mark.parametrize("name", ["a.svs", "a.NDPI", "a.tiff", "a.mrxs", "a.jpg", "a.png"])
def test_vendor_files_are_known_by_their_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"II*\0" + bytes(200))

    for given in (tmp_path, tmp_path / name):
        assert find_slides([given]) == [VendorFile(tmp_path / name)]


def test_pictures_beside_a_slide_in_a_folder_are_not_slides(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(b"II*\0" + bytes(200))
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8" + bytes(200))

    assert find_slides([tmp_path]) == [VendorFile(tmp_path / "a.svs")]


def test_hidden_files_are_not_looked_at(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))
    (tmp_path / "._a.dcm").touch()

    assert len(find_slides([tmp_path])) == 1


def test_a_dicom_slide_that_calls_itself_tif_is_a_dicom_slide(tmp_path: Path) -> None:
    write_wsi(tmp_path / "a.tif", Wsi([IMAGE]))

    for given in (tmp_path, tmp_path / "a.tif"):
        assert isinstance(find_slides([given])[0], DicomFiles)


def test_the_same_file_named_twice_counts_once(tmp_path: Path) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))

    (slide,) = find_slides([path, tmp_path, path])

    assert isinstance(slide, DicomFiles)
    assert len(slide.instances) == 1


def test_a_deflated_instance_is_refused_before_it_can_inflate(tmp_path: Path) -> None:
    path = write_wsi(tmp_path / "a.dcm", Wsi([IMAGE]))
    uid, deflated = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    data = path.read_bytes()
    start = data.index(uid)
    group_length = data.index(b"UL\x04\0") + 4
    length = int.from_bytes(data[group_length : group_length + 4], "little") + 2
    data = data[: start - 2] + len(deflated).to_bytes(2, "little") + deflated + b"\x78\x9c" * 100
    path.write_bytes(data[:group_length] + length.to_bytes(4, "little") + data[group_length + 4 :])

    with pytest.raises(UnsupportedInstanceError, match="Deflated Explicit VR Little Endian"):
        find_slides([path])


def test_grayscale_is_refused_as_no_h_and_e_image(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        del dataset.PlanarConfiguration
        dataset.PixelData = np.zeros(4 * 1024, dtype=np.uint8).tobytes()

    write_wsi(tmp_path / "a.dcm", Wsi([IMAGE], change=change))

    with pytest.raises(UnsupportedInstanceError, match="not an H&E color image"):
        open_slide([tmp_path])
