"""A gene painted over a slide, from the slide's own pixels to files and back."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from wsidicom import WsiDicom

from tests.pipeline.brightness import BrightnessPredictor
from vst_dicom.domain.errors import UnsupportedInstanceError
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.pipeline.process_slide import Choices, process_slide
from vst_dicom.slide.description import SlideDescription
from vst_dicom.slide.finding import find_slides
from vst_dicom.slide.opening import open_slide
from vst_dicom.slide.vendor import open_vendor_slide
from vst_dicom.slide.writing import write_planned_pyramid

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GLASS, DARK_TISSUE, PALE_TISSUE = (240, 238, 236), (120, 60, 120), (220, 140, 190)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of 8 x 10 tiles with glass around the tissue, whose left half is dark, and its results with overlay."""
    folder = tmp_path_factory.mktemp("overlay")
    image = np.full((8 * 224, 10 * 224, 3), GLASS, dtype=np.uint8)
    image[2 * 224 : 6 * 224, 2 * 224 : 5 * 224] = DARK_TISSUE
    image[2 * 224 : 6 * 224, 5 * 224 : 8 * 224] = PALE_TISSUE
    Image.fromarray(image).save(folder / "photo.png")
    with open_vendor_slide(
        folder / "photo.png", pixel_spacing=PixelSpacing.from_um(0.5), description=SlideDescription(), now=NOW
    ) as photo:
        write_planned_pyramid(photo, photo.plan, folder / "slide")
    choices = Choices(
        forms=frozenset({ResultForm.PARAMETRIC_MAP}), encoding=Encoding(color_overlay_gene="G"), job_key="a job"
    )
    with open_slide([folder / "slide"]) as slide:
        process_slide(slide, BrightnessPredictor(), folder / "out", choices=choices, now=NOW, progress=lambda *_: None)
    return folder


def test_another_reader_sees_glass_as_it_is_and_tissue_in_the_colors_of_its_values(folder: Path) -> None:
    (folder / "alone").mkdir()
    for path in (folder / "out").glob("color-overlay-*.dcm"):
        (folder / "alone" / path.name).symlink_to(path)
    with WsiDicom.open(folder / "alone") as overlay:
        seen = np.asarray(overlay.read_region((0, 0), 0, (overlay.size.width, overlay.size.height))).astype(int)
        n_levels = len(overlay.pyramids[0])

    tile = seen.shape[0] / 8
    middle = [[seen[int((row + 0.5) * tile), int((column + 0.5) * tile)] for column in range(10)] for row in range(8)]
    np.testing.assert_allclose(middle[0][0], GLASS, atol=3)
    np.testing.assert_allclose(middle[3][9], GLASS, atol=3)
    np.testing.assert_allclose(middle[3][3], 0.4 * 78 + 0.6 * np.array([68, 1, 84]), atol=4)
    np.testing.assert_allclose(middle[3][6], 0.4 * 170 + 0.6 * np.array([253, 231, 37]), atol=4)
    assert n_levels == 4


def test_it_shares_glass_and_frame_of_reference_with_the_slide_in_a_series_of_its_own(folder: Path) -> None:
    slide = pydicom.dcmread(folder / "slide" / "level-0.dcm", stop_before_pixels=True)
    overlay = pydicom.dcmread(folder / "out" / "color-overlay-0.dcm", stop_before_pixels=True)

    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "ContainerIdentifier", "ImageOrientationSlide"):
        assert overlay[keyword].value == slide[keyword].value
    assert overlay.SeriesInstanceUID != slide.SeriesInstanceUID
    assert overlay.SeriesDescription == "Predicted G as colors, Research Use Only"


def test_a_folder_of_slide_and_results_holds_one_slide(folder: Path) -> None:
    (found,) = find_slides([folder / "slide", folder / "out"])

    assert {instance.path.parent.name for instance in found.instances} == {"slide"}
    with pytest.raises(UnsupportedInstanceError, match="results themselves"):
        open_slide([folder / "out"])
