import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.array_source import ArraySource
from vst_dicom.domain.geometry import MatrixSize, PixelSpacing
from vst_dicom.domain.pixels import GLASS
from vst_dicom.tiles.cutting import CuttingPlan
from vst_dicom.tiles.frames import choose_level, read_frames, work_ahead
from vst_dicom.tiles.memory import ArrayPool
from vst_dicom.tiles.sampler import plan_reading, sample_tiles

HALF_UM = PixelSpacing.from_um(0.5)


def noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def collect(source: ArraySource, corners: np.ndarray, size: MatrixSize, tile_px: int, **options: int) -> np.ndarray:
    images = np.zeros((len(corners), tile_px, tile_px, 3), dtype=np.uint8)
    seen = []
    for batch in sample_tiles(source, corners, size, tile_px=tile_px, **options):
        images[batch.indices] = batch.images
        seen.extend(batch.indices.tolist())
    assert sorted(seen) == list(range(len(corners)))
    return images


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(20, 90),
    columns=st.integers(20, 90),
    frame_rows=st.integers(7, 40),
    frame_columns=st.integers(7, 40),
    batch_size=st.integers(1, 9),
    corner_seed=st.integers(0, 99),
)
def test_tiles_equal_the_image_and_each_frame_is_decoded_at_most_once(
    rows: int, columns: int, frame_rows: int, frame_columns: int, batch_size: int, corner_seed: int
) -> None:
    image = noise(rows, columns)
    source = ArraySource([image], HALF_UM, MatrixSize(frame_rows, frame_columns))
    corners = np.random.default_rng(corner_seed).integers(-20, 90, (15, 2))

    images = collect(source, corners, MatrixSize(16, 16), 16, batch_size=batch_size)

    padded = np.full((rows + 200, columns + 200, 3), GLASS, dtype=np.uint8)
    padded[100 : 100 + rows, 100 : 100 + columns] = image
    for (x, y), tile in zip(corners, images, strict=True):
        np.testing.assert_array_equal(tile, padded[100 + y : 116 + y, 100 + x : 116 + x])
    assert max(source.reads.values(), default=1) == 1


def test_a_missing_frame_is_glass() -> None:
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    source = ArraySource([image], HALF_UM, MatrixSize(10, 10), missing=frozenset({(0, 1)}))

    tile = collect(source, np.array([[0, 0]]), MatrixSize(20, 20), 20)[0]

    assert (tile[:10, 10:] == GLASS).all()
    assert (tile[:10, :10] == 0).all()
    assert (tile[10:] == 0).all()


def test_tiles_are_read_from_the_level_nearest_to_what_the_model_sees() -> None:
    base = noise(64, 64)
    half = cv2.resize(base, (32, 32), interpolation=cv2.INTER_AREA)
    source = ArraySource([base, half], PixelSpacing.from_um(0.25), MatrixSize(8, 8), factors=(1, 2))

    tile = collect(source, np.array([[32, 16]]), MatrixSize(32, 32), 16)[0]

    np.testing.assert_array_equal(tile, half[8:24, 16:32])
    assert {level for level, _, _ in source.reads} == {1}


def test_frames_are_reduced_where_no_level_fits() -> None:
    plan = plan_reading(
        ArraySource([noise(64, 64)], PixelSpacing.from_um(0.25), MatrixSize(32, 32)).levels, MatrixSize(32, 32), 16
    )

    assert (plan.reduce, plan.crop, plan.base_px) == (2, MatrixSize(16, 16), (2.0, 2.0))


def test_frames_that_do_not_divide_are_not_reduced() -> None:
    plan = plan_reading(
        ArraySource([noise(64, 64)], PixelSpacing.from_um(0.25), MatrixSize(31, 32)).levels, MatrixSize(32, 32), 16
    )

    assert (plan.reduce, plan.crop) == (1, MatrixSize(32, 32))


def test_pixels_that_are_not_square_become_square_tiles() -> None:
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    image[:50, :100] = 200
    source = ArraySource([image], PixelSpacing.from_um(1.0, 0.5), MatrixSize(25, 50))

    tile = collect(source, np.array([[0, 0]]), MatrixSize(100, 200), 50)[0]

    assert (tile[:25, :25] == 200).all()
    assert (tile[25:] == 0).all()
    assert (tile[:, 25:] == 0).all()


@pytest.mark.parametrize("run_length", [1, 4, 100])
def test_only_tiles_that_cross_into_the_next_row_of_frames_wait(run_length: int) -> None:
    side = 16
    corners = np.stack(np.meshgrid(np.arange(0, 384, side), np.arange(0, 384, side)), axis=-1).reshape(-1, 2)
    plan = CuttingPlan(corners, MatrixSize(side, side), MatrixSize(20, 20), MatrixSize(400, 400), run_length)
    begun: set[int] = set()
    n_complete = 0

    for run in plan.runs():
        begun |= set(run.rectangles[:, 0].tolist())
        n_complete += run.n_completed
        assert set(range(n_complete)) <= begun
        bottom = corners[plan.order[sorted(begun)[n_complete:]], 1] + side if n_complete < len(begun) else np.array([])
        waiting_on_row = bottom > (run.frame_row + 1) * 20
        assert waiting_on_row.sum() <= 384 // side
        assert len(begun) - n_complete <= 384 // side + 2 * (run_length + 1) * 2

    assert n_complete == len(corners)


def test_a_batch_keeps_its_pixels_while_anybody_holds_a_part_of_it() -> None:
    image = noise(64, 64)
    source = ArraySource([image], HALF_UM, MatrixSize(16, 16))
    corners = np.stack(np.meshgrid(np.arange(0, 64, 8), np.arange(0, 64, 8)), axis=-1).reshape(-1, 2)
    batches = sample_tiles(source, corners, MatrixSize(8, 8), tile_px=8, batch_size=4)

    held = [(corners[batch.indices[1]], batch.images[1, :4]) for batch in batches]

    for (x, y), part in held:
        np.testing.assert_array_equal(part, image[y : y + 4, x : x + 8])


def test_memory_of_a_batch_that_nobody_holds_serves_again() -> None:
    pool = ArrayPool((4, 5))
    first = pool.take()
    address, view = first.ctypes.data, first[1:]
    del first

    assert pool.take().ctypes.data != address
    del view
    assert pool.take().ctypes.data == address


def test_an_error_comes_after_what_was_done_before_it() -> None:
    def fail_on_five(number: int) -> int:
        if number == 5:
            raise OSError("gone")
        return number

    stream = work_ahead(fail_on_five, range(9), 2, portion=2)

    assert [next(stream), next(stream)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="gone"):
        next(stream)


@pytest.mark.parametrize(
    ("wanted_um", "expected"), [(0.25, (0, 1)), (0.5, (0, 2)), (0.99, (1, 1)), (1.0, (1, 1)), (8.0, (1, 8))]
)
def test_the_coarsest_sufficient_level_is_chosen(wanted_um: float, expected: tuple[int, int]) -> None:
    source = ArraySource([noise(64, 64), noise(16, 16)], PixelSpacing.from_um(0.25), MatrixSize(16, 16), factors=(1, 4))

    level, reduce = choose_level(source.levels, PixelSpacing.from_um(wanted_um))

    assert (level.index, reduce) == expected


def test_a_level_two_percent_too_coarse_still_serves() -> None:
    source = ArraySource([noise(64, 64)], PixelSpacing.from_um(0.255), MatrixSize(16, 16))

    assert choose_level(source.levels, PixelSpacing.from_um(0.25)) == (source.levels[0], 1)


def test_a_failing_frame_fails_the_reading_where_it_is_wanted() -> None:
    class Failing(ArraySource):
        def read_frame(self, level: int, frame_row: int, frame_column: int, reduce: int = 1):
            if frame_column == 2:
                raise OSError("gone")
            return super().read_frame(level, frame_row, frame_column, reduce)

    source = Failing([noise(10, 40)], HALF_UM, MatrixSize(10, 10))
    stream = read_frames(source, source.levels[0], [(0, 0), (0, 1), (0, 2), (0, 3)], 1)

    assert [next(stream)[0], next(stream)[0]] == [(0, 0), (0, 1)]
    with pytest.raises(OSError, match="gone"):
        next(stream)
