import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import GLASS, RgbImage
from vst_dicom.simulate.regions import Region
from vst_dicom.simulate.slide import Preparation, SimulatedSlide
from vst_dicom.simulate.stain import DYE_AMOUNTS, Stain

HALF_UM = PixelSpacing.from_um(0.5)


def assemble(slide: SimulatedSlide, reverse: bool = False) -> RgbImage:
    """All frames in one picture, cut to the total pixel matrix."""
    level = slide.levels[0]
    frame, grid = level.frame_size, level.frame_grid
    picture = np.zeros((grid.n_rows * frame.n_rows, grid.n_columns * frame.n_columns, 3), dtype=np.uint8)
    order = [(row, column) for row in range(grid.n_rows) for column in range(grid.n_columns)]
    for row, column in reversed(order) if reverse else order:
        top, left = row * frame.n_rows, column * frame.n_columns
        picture[top : top + frame.n_rows, left : left + frame.n_columns] = slide.read_frame(0, row, column)
    return picture[: level.size.n_rows, : level.size.n_columns]


def enlarge_truth(slide: SimulatedSlide) -> NDArray[np.uint8]:
    """The region of each pixel."""
    level, truth = slide.levels[0], slide.region_map()
    y = ((np.arange(level.size.n_rows) + 0.5) * level.spacing.row_um / 16).astype(int)
    x = ((np.arange(level.size.n_columns) + 0.5) * level.spacing.column_um / 16).astype(int)
    return truth.labels[np.ix_(y, x)]


@pytest.fixture(scope="module")
def slide() -> SimulatedSlide:
    return SimulatedSlide(MatrixSize(1800, 2100), HALF_UM, 7)


@pytest.fixture(scope="module")
def picture(slide: SimulatedSlide) -> RgbImage:
    return assemble(slide)


def test_the_same_seed_gives_the_same_pixels(slide: SimulatedSlide, picture: RgbImage) -> None:
    again = SimulatedSlide(slide.levels[0].size, HALF_UM, 7)

    np.testing.assert_array_equal(assemble(again), picture)


def test_another_seed_gives_another_slide(picture: RgbImage) -> None:
    other = assemble(SimulatedSlide(MatrixSize(1800, 2100), HALF_UM, 8))

    assert (other != picture).any(axis=2).mean() > 0.5


@pytest.mark.parametrize("frame", [MatrixSize(1024, 1024), MatrixSize(240, 500)])
def test_frame_size_and_order_do_not_change_a_pixel(picture: RgbImage, frame: MatrixSize) -> None:
    framed = assemble(SimulatedSlide(MatrixSize(1800, 2100), HALF_UM, 7, frame), reverse=True)

    np.testing.assert_array_equal(framed, picture)


def test_blocks_that_are_painted_apart_fit_each_other(picture: RgbImage) -> None:
    """Across the border of two painted blocks pixels differ no more than elsewhere."""
    steps = np.abs(np.diff(picture.astype(int), axis=1)).mean(axis=(0, 2))
    down = np.abs(np.diff(picture.astype(int), axis=0)).mean(axis=(1, 2))

    assert steps[1023] < 1.3 * np.median(steps[940:1110])
    assert down[1023] < 1.3 * np.median(down[940:1110])


def test_a_window_anywhere_is_painted_as_its_place_in_the_slide(slide: SimulatedSlide, picture: RgbImage) -> None:
    """A block across the corner of four others shows what they show, but for the rounding of the last digit."""
    alone = slide._paint(772, 900).astype(int)
    apart = np.abs(alone - picture[772:1796, 900:1924].astype(int)).max(axis=2)

    assert apart.max() <= 2
    assert (apart > 0).mean() < 0.01


def test_threads_read_the_same_pixels(picture: RgbImage) -> None:
    slide = SimulatedSlide(MatrixSize(1800, 2100), HALF_UM, 7)
    together = threading.Barrier(4)

    def read(column: int) -> RgbImage:
        together.wait()
        return slide.read_frame(0, 2, column)

    with ThreadPoolExecutor(4) as pool:
        frames = list(pool.map(read, range(4)))

    np.testing.assert_array_equal(np.concatenate(frames, axis=1), picture[512:768, :1024])


def test_a_frame_that_fails_to_paint_fails_again_and_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    slide = SimulatedSlide(MatrixSize(600, 600), HALF_UM, 1)

    def fail(top: int, left: int) -> RgbImage:
        raise MemoryError

    monkeypatch.setattr(slide, "_paint", fail)
    for _ in range(2):
        with pytest.raises(MemoryError):
            slide.read_frame(0, 0, 0)


def test_beyond_the_matrix_a_frame_is_filled_up(slide: SimulatedSlide) -> None:
    frame = slide.read_frame(0, 7, 8)

    assert frame.shape == (256, 256, 3)
    assert (frame[1800 - 7 * 256 :] == GLASS).all()
    assert (frame[:, 2100 - 8 * 256 :] == GLASS).all()


def test_reduced_frames_are_the_mean_of_their_pixels(slide: SimulatedSlide) -> None:
    whole, reduced = slide.read_frame(0, 3, 3), slide.read_frame(0, 3, 3, reduce=4)

    assert reduced.shape == (64, 64, 3)
    mean = whole.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    assert np.abs(mean - reduced).max() <= 0.5


def test_colors_and_nuclei_follow_the_true_regions(slide: SimulatedSlide, picture: RgbImage) -> None:
    regions = enlarge_truth(slide)
    red, green, blue = (picture[..., channel].astype(float) for channel in range(3))
    nuclei = (red < 130) & (blue > red + 15)

    def share(region: Region) -> float:
        return float(nuclei[regions == region].mean())

    assert share(Region.LYMPHOID) > share(Region.TUMOR) > share(Region.STROMA) > share(Region.FAT)
    assert share(Region.LYMPHOID) > 0.25
    assert share(Region.GLASS) < 0.002
    darkness = {region: float((255 - green[regions == region]).mean()) for region in Region}
    assert min(darkness[Region.TUMOR], darkness[Region.LYMPHOID]) > darkness[Region.STROMA] > darkness[Region.FAT]
    assert darkness[Region.FAT] > darkness[Region.GLASS]
    stroma = regions == Region.STROMA
    assert red[stroma].mean() > blue[stroma].mean() > green[stroma].mean()  # pink


def test_saturation_tells_tissue_from_glass(slide: SimulatedSlide, picture: RgbImage) -> None:
    """A tissue mask finds solid tissue by Otsu's threshold on the saturation of 8 µm squares."""
    small = cv2.resize(picture, None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA)
    saturation = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[..., 1]
    _, mask = cv2.threshold(saturation, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    regions = cv2.resize(enlarge_truth(slide), mask.shape[::-1], interpolation=cv2.INTER_NEAREST)

    assert mask[(regions != Region.GLASS) & (regions != Region.FAT)].mean() > 0.85
    assert mask[regions == Region.GLASS].mean() < 0.05


@pytest.mark.parametrize(
    "spacing", [PixelSpacing.from_um(0.25), PixelSpacing.from_um(0.4, 0.8), PixelSpacing.from_um(4)]
)
def test_structures_keep_their_size_in_micrometers(spacing: PixelSpacing) -> None:
    size = MatrixSize(round(456 / spacing.row_um), round(600 / spacing.column_um))
    slide = SimulatedSlide(size, spacing, 7)
    reference = SimulatedSlide(MatrixSize(912, 1200), HALF_UM, 7)

    np.testing.assert_array_equal(slide.region_map().labels, reference.region_map().labels)
    coarse = [cv2.resize(assemble(s), (75, 57), interpolation=cv2.INTER_AREA).astype(float) for s in (slide, reference)]
    assert np.corrcoef(coarse[0].ravel(), coarse[1].ravel())[0, 1] > 0.85


@pytest.mark.parametrize("size", [MatrixSize(201, 1027), MatrixSize(1333, 333), MatrixSize(1025, 1025)])
def test_odd_sizes_are_painted_to_the_last_pixel(size: MatrixSize) -> None:
    picture = assemble(SimulatedSlide(size, HALF_UM, 2))

    assert picture.shape == (size.n_rows, size.n_columns, 3)
    assert (picture[-1].mean(), picture[:, -1].mean()) == pytest.approx((244, 244), abs=2)
    assert picture.std() > 10


def test_stains_differ_in_darkness() -> None:
    pale, normal, dark = (
        assemble(SimulatedSlide(MatrixSize(512, 512), HALF_UM, 1, preparation=Preparation(DYE_AMOUNTS[stain]))).mean()
        for stain in (Stain.PALE, Stain.NORMAL, Stain.DARK)
    )

    assert pale > normal + 5 > dark + 10


@pytest.mark.parametrize(
    ("size", "spacing", "seed"),
    [
        (MatrixSize(100, 100), HALF_UM, 1),
        (MatrixSize(5000, 5000), PixelSpacing.from_um(0.05), 1),
        (MatrixSize(500, 500), PixelSpacing.from_um(0.5, 20), 1),
        (MatrixSize(500, 500), HALF_UM, -1),
        (MatrixSize(500, 500), HALF_UM, 2**32),
    ],
)
def test_impossible_slides_are_refused(size: MatrixSize, spacing: PixelSpacing, seed: int) -> None:
    with pytest.raises(UsageError):
        SimulatedSlide(size, spacing, seed)
