import numpy as np
import pytest

from tests.array_source import ArraySource
from vst_dicom.domain.errors import PixelSpacingError, StainError, TissueError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import Thumbnail
from vst_dicom.tiles.grid import check_spacing, lay_grid, tile_size_px
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import TissueMask, check_stain, find_tissue

EOSIN = (225, 140, 190)
GLASS_COLOR = (228, 213, 230)


def slide_image(tissue_color: tuple[int, int, int] = EOSIN, glass: tuple[int, int, int] = GLASS_COLOR) -> np.ndarray:
    """Glass with a square of tissue in the middle, with noise."""
    image = np.full((300, 400, 3), glass, dtype=np.int16)
    image[100:200, 100:300] = tissue_color
    image += np.random.default_rng(0).integers(-3, 4, image.shape, dtype=np.int16)
    return np.clip(image, 0, 255).astype(np.uint8)


def thumbnail(image: np.ndarray, um: float = 8.0, base_px: float = 16.0) -> Thumbnail:
    return Thumbnail(image, (base_px, base_px), PixelSpacing.from_um(um))


def test_tissue_is_told_from_tinted_glass() -> None:
    mask = find_tissue(thumbnail(slide_image())).mask

    assert mask[105:195, 105:295].all()
    assert not mask[:90].any()
    assert not mask[210:].any()


def test_pale_stroma_counts_as_tissue() -> None:
    mask = find_tissue(thumbnail(slide_image(tissue_color=(226, 180, 215)))).mask

    assert mask[105:195, 105:295].all()


def test_bare_glass_is_refused() -> None:
    with pytest.raises(TissueError, match="no tissue"):
        find_tissue(thumbnail(slide_image(tissue_color=GLASS_COLOR)))


def test_pink_and_purple_pass_as_hematoxylin_and_eosin() -> None:
    for color in (EOSIN, (110, 80, 160), (180, 110, 170)):
        picture = thumbnail(slide_image(tissue_color=color))
        check_stain(picture, find_tissue(picture))


@pytest.mark.parametrize(
    "color", [(90, 140, 200), (150, 110, 60), (120, 120, 120), (60, 160, 90)], ids=["blue", "brown", "gray", "green"]
)
def test_other_stains_are_refused(color: tuple[int, int, int]) -> None:
    picture = thumbnail(slide_image(tissue_color=color, glass=(240, 240, 240)))

    with pytest.raises(StainError, match="hematoxylin"):
        check_stain(picture, find_tissue(picture))


def test_fluorescence_on_black_is_refused() -> None:
    picture = thumbnail(slide_image(tissue_color=(20, 200, 40), glass=(4, 4, 4)))

    with pytest.raises(StainError):
        check_stain(picture, find_tissue(picture))


def test_fraction_counts_mask_pixels_and_takes_the_outside_for_glass() -> None:
    mask = np.zeros((10, 10), dtype=np.bool_)
    mask[:, 5:] = True
    tissue = TissueMask(mask, (10.0, 20.0))

    fraction = tissue.fraction(np.array([[0, 0], [40, 0], [50, 100], [90, 0], [500, 500]]), MatrixSize(40, 20))

    np.testing.assert_allclose(fraction, [0.0, 0.5, 1.0, 0.5, 0.0])


def test_thumbnail_averages_whole_blocks_across_frames() -> None:
    image = np.random.default_rng(1).integers(0, 256, (96, 80, 3), dtype=np.uint8)
    source = ArraySource([image], PixelSpacing.from_um(2.0), MatrixSize(25, 31))

    small = read_thumbnail(source, coarsest_um=8.0)

    expected = image.reshape(24, 4, 20, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small.image, expected, atol=0.51)
    assert small.base_px == (4.0, 4.0)
    assert max(source.reads.values()) == 1


def test_thumbnail_of_an_odd_matrix_keeps_its_last_rows() -> None:
    image = np.full((50, 33, 3), 200, dtype=np.uint8)
    image[48:] = 10
    small = read_thumbnail(ArraySource([image], PixelSpacing.from_um(4.0), MatrixSize(15, 15)), coarsest_um=16.0)

    assert small.image.shape == (13, 9, 3)
    assert (small.image[12] == 10).all()
    assert (small.image[:12] == 200).all()


def test_thumbnail_reads_the_smallest_sufficient_level() -> None:
    levels = [np.zeros((64, 64, 3), np.uint8), np.zeros((16, 16, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)]
    source = ArraySource(levels, PixelSpacing.from_um(2.0), MatrixSize(16, 16), factors=(1, 4, 32))

    read_thumbnail(source, coarsest_um=8.0)

    assert {level for level, _, _ in source.reads} == {1}


def test_thumbnail_keeps_missing_frames_as_glass() -> None:
    source = ArraySource(
        [np.zeros((20, 20, 3), np.uint8)], PixelSpacing.from_um(8.0), MatrixSize(10, 10), missing=frozenset({(0, 0)})
    )

    image = read_thumbnail(source).image

    assert (image[:10, :10] == 255).all()
    assert (image[10:] == 0).all()


def test_tiles_are_whole_base_pixels_along_each_axis() -> None:
    assert tile_size_px(PixelSpacing.from_um(0.499)) == MatrixSize(224, 224)
    assert tile_size_px(PixelSpacing.from_um(0.25, 0.5)) == MatrixSize(448, 224)


def test_grid_keeps_tiles_that_are_half_tissue() -> None:
    mask = np.zeros((30, 30), dtype=np.bool_)
    mask[0:10, 0:25] = True
    source = ArraySource([np.zeros((30, 30, 3), np.uint8)], PixelSpacing.from_um(10.0), MatrixSize(30, 30))

    grid, fraction = lay_grid(source.levels[0], TissueMask(mask, (1.0, 1.0)), tile_um=100.0)

    np.testing.assert_array_equal(grid.cells, [[0, 0], [0, 1], [0, 2]])
    np.testing.assert_allclose(fraction, [1.0, 1.0, 0.5])


def test_grid_without_a_tissue_tile_is_refused() -> None:
    source = ArraySource([np.zeros((30, 30, 3), np.uint8)], PixelSpacing.from_um(10.0), MatrixSize(30, 30))
    speck = np.zeros((30, 30), dtype=np.bool_)
    speck[3, 3] = True

    with pytest.raises(TissueError, match="no piece"):
        lay_grid(source.levels[0], TissueMask(speck, (1.0, 1.0)), tile_um=100.0)


def test_coarse_slides_are_warned_of_and_then_refused() -> None:
    assert check_spacing(PixelSpacing.from_um(0.5), 1.0, 0.6) == ()
    assert "enlarged" in check_spacing(PixelSpacing.from_um(0.5, 0.688), 1.0, 0.6)[0]
    with pytest.raises(PixelSpacingError, match="29"):
        check_spacing(PixelSpacing.from_um(28.97), 1.0, 0.6)


def test_a_last_row_of_frames_narrower_than_the_reduction_does_no_harm() -> None:
    image = np.full((131, 128, 3), 200, dtype=np.uint8)
    source = ArraySource([image], PixelSpacing.from_um(1.0), MatrixSize(64, 64))

    thumbnail = read_thumbnail(source, 8.0)

    assert thumbnail.image.shape == (16, 16, 3)
    assert (thumbnail.image == 200).all()
