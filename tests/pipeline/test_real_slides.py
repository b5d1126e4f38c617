"""Real tissue of another laboratory is predicted; slides that nobody should predict on are refused."""

from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.programs import needs_shared_data, shared_data
from vst_dicom.domain.errors import InputError, StainError, UnfamiliarTissueError
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.pipeline.process_slide import Choices, Outcome, process_slide
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.predictor import Predictor
from vst_dicom.slide.opening import open_slide

pytestmark = needs_shared_data

SPACING_UM = 0.499
CMU_SVS = shared_data() / "wsi" / "CMU-1-Small-Region.svs"
CMU_DICOM = shared_data() / "dicom" / "jcupitt_cmu1_small_region"
BLUE = shared_data() / "dicom" / "google_wsi2dcm" / "jpeg.dcm"
HER2ST = shared_data() / "her2st" / "images" / "B4.jpg"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    bundle = load_bundle()
    if bundle.manifest.distribution is None:
        pytest.skip("the built-in bundle cannot tell unfamiliar tissue")
    return Predictor(bundle, device="cpu")


@pytest.fixture(scope="module")
def cmu() -> np.ndarray:
    """Pixels of the base level."""
    with open_slide([CMU_SVS]) as slide:
        base = slide.levels[0]
        height, width = base.frame_size.n_rows, base.frame_size.n_columns
        image = np.full((base.frame_grid.n_rows * height, base.frame_grid.n_columns * width, 3), 255, np.uint8)
        for row, column in product(range(base.frame_grid.n_rows), range(base.frame_grid.n_columns)):
            frame = slide.read_frame(0, row, column)
            if frame is not None:
                image[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame
        return image[: base.size.n_rows, : base.size.n_columns]


def process(predictor: Predictor, path: Path, out: Path, spacing_um: float | None = None) -> Outcome:
    spacing = None if spacing_um is None else PixelSpacing.from_um(spacing_um)
    with open_slide([path], pixel_spacing=spacing) as slide:
        return process_slide(
            slide,
            predictor,
            out,
            choices=Choices(forms=frozenset()),
            now=datetime(2026, 1, 2, tzinfo=UTC),
            progress=lambda *_: None,
        )


def process_image(predictor: Predictor, image: np.ndarray, folder: Path, spacing_um: float = SPACING_UM) -> Outcome:
    Image.fromarray(image).save(folder / "slide.png")
    return process(predictor, folder / "slide.png", folder / "out", spacing_um)


def blur(image: np.ndarray, sigma_um: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma_um / SPACING_UM)


@pytest.mark.parametrize("path", [CMU_SVS, CMU_DICOM], ids=["svs", "dicom"])
def test_a_slide_of_another_laboratory_and_scanner_is_predicted(
    predictor: Predictor, path: Path, tmp_path: Path
) -> None:
    result = process(predictor, path, tmp_path / "out").result

    assert len(result.masked_cells) <= 0.15 * (len(result.grid) + len(result.masked_cells))


def test_a_section_of_a_patient_that_did_not_train_is_predicted(predictor: Predictor, tmp_path: Path) -> None:
    with Image.open(HER2ST) as photo:
        section = np.asarray(photo.crop((3500, 3500, 6500, 6500)))

    result = process_image(predictor, section, tmp_path, 0.688).result

    assert len(result.masked_cells) <= 0.05 * (len(result.grid) + len(result.masked_cells))


def test_a_blue_stain_is_refused_by_its_color(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        process(predictor, BLUE, tmp_path / "out")
    with pytest.raises(StainError):
        process(predictor, BLUE, tmp_path / "out", 0.5)


def test_a_blurred_slide_is_refused(predictor: Predictor, cmu: np.ndarray, tmp_path: Path) -> None:
    for sigma_um in (2.0, 3.0, 5.0):
        with pytest.raises(UnfamiliarTissueError):
            process_image(predictor, blur(cmu, sigma_um), tmp_path)


def test_an_inverted_slide_is_refused(predictor: Predictor, cmu: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        process_image(predictor, 255 - cmu, tmp_path)


def test_noise_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)

    with pytest.raises(InputError):
        process_image(predictor, noise, tmp_path)


def test_noise_in_the_colors_of_stained_tissue_is_refused(
    predictor: Predictor, cmu: np.ndarray, tmp_path: Path
) -> None:
    stained = cmu[cmu[..., 1] < 170]
    image = np.full((1500, 1500, 3), 245, np.uint8)
    image[200:1300, 200:1300] = np.random.default_rng(0).choice(stained, (1100, 1100))

    with pytest.raises(UnfamiliarTissueError):
        process_image(predictor, image, tmp_path)
