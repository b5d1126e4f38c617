from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from torch import Tensor, nn

from tests.array_source import ArraySource
from tests.predict.engines import torch_engine
from vst_dicom.domain.errors import InputError
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.predict.context import with_context
from vst_dicom.predict.engine import Engine, embed
from vst_dicom.tiles.grid import lay_grid
from vst_dicom.tiles.sampler import sample_tiles
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import find_tissue
from vst_dicom.training import features as features_module
from vst_dicom.training.cohort import Section
from vst_dicom.training.features import describe_places, describe_spots
from vst_dicom.training.spots import read_spots

SPACING_UM = 0.688
TILE = 163  # 112 µm


class MeanColor(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


@pytest.fixture
def engine() -> Engine:
    return torch_engine(MeanColor(), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 3)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Eight by six tiles of glass with a patch of uneven tissue whose border cuts through tiles."""
    random = np.random.default_rng(0)
    pixels = np.full((6 * TILE, 8 * TILE, 3), 245, dtype=np.uint8)
    coarse = random.integers(100, 200, (12, 16, 3), dtype=np.uint8)
    tissue = cv2.resize(coarse, (5 * TILE, 4 * TILE)) // np.array([1, 2, 1], np.uint8)
    pixels[130 : 130 + 4 * TILE, 210 : 210 + 5 * TILE] = tissue
    return pixels


def source_of(image: np.ndarray) -> ArraySource:
    return ArraySource([image], PixelSpacing.from_um(SPACING_UM), MatrixSize(256, 256))


def test_training_at_the_middle_of_a_tile_sees_what_prediction_sees_there(image: np.ndarray, engine: Engine) -> None:
    source = source_of(image)
    grid, _ = lay_grid(source.levels[0], find_tissue(read_thumbnail(source)))
    batches = sample_tiles(source, grid.corners_px, grid.tile_size)
    predicted = with_context(embed(engine, batches, len(grid)), grid.cells)

    trained, _ = describe_places(source, grid.centers_px, engine, "S")

    assert 12 <= len(grid) < 48
    np.testing.assert_allclose(trained, predicted, atol=1e-6)


def test_a_spot_on_glass_still_counts_itself(image: np.ndarray, engine: Engine) -> None:
    place = np.array([[7.5 * TILE - 3, 5.5 * TILE - 3]])

    trained, plain = describe_places(source_of(image), place, engine, "S", context=(1, 3))

    np.testing.assert_allclose(trained, 245 / 255, atol=1e-6)
    assert plain[0, 0] == 0


def test_a_spot_beside_the_image_is_refused(image: np.ndarray, engine: Engine) -> None:
    with pytest.raises(InputError, match="a spot lies outside the image"):
        describe_places(source_of(image), np.array([[99999.0, 5.0]]), engine, "S")


def section_files(folder: Path, image: np.ndarray) -> Section:
    cv2.imwrite(str(folder / "S.png"), image[..., ::-1])
    (folder / "S.tsv").write_text("\tERBB2\n1x1\t1\n2x2\t2\n", encoding="utf-8")
    (folder / "S_spots.tsv").write_text(
        "x\ty\tpixel_x\tpixel_y\n1\t1\t500\t400\n2\t2\t700.6\t500.2\n", encoding="utf-8"
    )
    return Section(id="S", patient="P", image="S.png", pixel_spacing_um=SPACING_UM, counts="S.tsv", spots="S_spots.tsv")


def test_a_plain_image_is_opened_as_on_prediction_and_kept_in_the_cache(
    tmp_path: Path, image: np.ndarray, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = section_files(tmp_path, image)
    spots = read_spots(section, tmp_path, ["ERBB2"])
    expected, plain = describe_places(source_of(image), spots.centers_px, engine, "S")

    first = describe_spots(section, spots, tmp_path, engine, "key", tmp_path / "cache")
    monkeypatch.setattr(features_module, "describe_places", lambda *_: pytest.fail("computed again"))
    second = describe_spots(section, spots, tmp_path, engine, "key", tmp_path / "cache")

    np.testing.assert_allclose(first.features, expected, atol=1e-6)
    np.testing.assert_array_equal(second.features, first.features)
    np.testing.assert_array_equal(second.plain, plain)


def test_described_spots_know_their_site_and_marker_genes(tmp_path: Path, image: np.ndarray, engine: Engine) -> None:
    section = section_files(tmp_path, image).model_copy(update={"site": "Uppsala"})
    described = describe_spots(section, read_spots(section, tmp_path, [], ["CD3E", "ERBB2"]), tmp_path, engine, "key")

    assert described.site == "Uppsala"
    np.testing.assert_allclose(described.markers, [[0, np.log(10001)], [0, np.log(10001)]], rtol=1e-6)
    assert described.subset(np.array([1])).markers.shape == (1, 2)


def test_anndata_and_hest_metadata_give_the_same_features_as_tables(
    tmp_path: Path, image: np.ndarray, engine: Engine
) -> None:
    tables = section_files(tmp_path, image)
    AnnData(
        X=np.array([[1], [2]]),
        obs=pd.DataFrame(index=["AAAC-1", "AAAG-1"]),
        var=pd.DataFrame(index=["ERBB2"]),
        obsm={"spatial": np.array([[500, 400], [700.6, 500.2]])},
    ).write_h5ad(tmp_path / "S.h5ad")
    (tmp_path / "S.json").write_text(f'{{"pixel_size_um_estimated": {SPACING_UM}}}', encoding="utf-8")
    hest = Section(id="S", patient="P", image="S.png", h5ad="S.h5ad", metadata="S.json")

    first, second = (
        describe_spots(section, read_spots(section, tmp_path, ["ERBB2"]), tmp_path, engine, "key")
        for section in (tables, hest)
    )

    for name in ("centers_px", "features", "plain", "expression", "total_counts"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_another_encoder_does_not_get_the_cached_features(tmp_path: Path, image: np.ndarray, engine: Engine) -> None:
    section = section_files(tmp_path, image)
    spots = read_spots(section, tmp_path, ["ERBB2"])

    for key in ("one", "other"):
        describe_spots(section, spots, tmp_path, engine, key, tmp_path / "cache")

    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_damaged_cache_file_is_computed_again(tmp_path: Path, image: np.ndarray, engine: Engine) -> None:
    section = section_files(tmp_path, image)
    spots = read_spots(section, tmp_path, ["ERBB2"])
    first = describe_spots(section, spots, tmp_path, engine, "key", tmp_path / "cache")
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(b"damaged")

    again = describe_spots(section, spots, tmp_path, engine, "key", tmp_path / "cache")

    np.testing.assert_array_equal(again.features, first.features)


def test_a_long_section_goes_on_where_it_was_cut_off(
    tmp_path: Path, image: np.ndarray, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = section_files(tmp_path, image)
    spots = read_spots(section, tmp_path, ["ERBB2"])
    whole = describe_spots(section, spots, tmp_path, engine, "key")
    monkeypatch.setattr(features_module, "_PIECE_SPOTS", 1)
    cache, described = tmp_path / "cache", []

    def cut_off(*arguments: object) -> object:
        if described:
            raise KeyboardInterrupt
        described.append(arguments)
        return describe_places(*arguments)

    monkeypatch.setattr(features_module, "describe_places", cut_off)
    with pytest.raises(KeyboardInterrupt):
        describe_spots(section, spots, tmp_path, engine, "key", cache)
    assert [path.name.endswith("-piece0.safetensors") for path in cache.iterdir()] == [True]

    told = []
    monkeypatch.setattr(features_module, "describe_places", lambda *given: told.append(1) or describe_places(*given))
    again = describe_spots(section, spots, tmp_path, engine, "key", cache)

    assert len(told) == 1
    np.testing.assert_array_equal(again.features, whole.features)
    np.testing.assert_array_equal(again.plain, whole.plain)
    assert [path.name.count("piece") for path in cache.iterdir()] == [0]


def test_progress_counts_the_spots_of_the_section(
    tmp_path: Path, image: np.ndarray, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = section_files(tmp_path, image)
    monkeypatch.setattr(features_module, "_PIECE_SPOTS", 1)
    told = []

    describe_spots(
        section, read_spots(section, tmp_path, []), tmp_path, engine, "key", None, lambda *given: told.append(given)
    )

    assert told[-1] == (2, 2)
    assert (1, 2) in told


def test_a_tile_that_spots_share_is_embedded_once(image: np.ndarray, engine: Engine) -> None:
    told = []
    centers = np.array([[3.5 * TILE, 2.5 * TILE], [4.5 * TILE, 2.5 * TILE]]) - 0.5
    apart = [describe_places(source_of(image), center[None], engine, "S") for center in centers]

    features, plain = describe_places(source_of(image), centers, engine, "S", lambda *given: told.append(given))

    assert told[-1][1] == 20  # columns 1 to 5 of rows 1 to 4, all that are tissue
    np.testing.assert_allclose(features, np.concatenate([part[0] for part in apart]), atol=1e-6)
    np.testing.assert_allclose(plain, np.concatenate([part[1] for part in apart]))
