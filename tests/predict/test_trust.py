import numpy as np
import pytest

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.appearance import N_APPEARANCE
from vst_dicom.predict.trust import Familiarity, Intervals, Trust, parse_trust


def make_familiarity() -> Familiarity:
    """Only the first number of the appearance counts, and only the second of three features."""
    appearance_map = np.zeros((N_APPEARANCE, N_APPEARANCE), np.float32)
    appearance_map[0, 0] = 0.5
    return Familiarity(
        np.ones(N_APPEARANCE, np.float32),
        appearance_map,
        np.zeros(3, np.float32),
        np.array([[0], [2], [0]], np.float32),
    )


def make_trust() -> Trust:
    return Trust(make_familiarity(), Intervals(np.array([3, 0], np.float32), 2.0))


def parse(tensors: dict[str, np.ndarray], **changes: object) -> Trust:
    expected = {"n_components": 1, "quantile": 2.0, "embed_dim": 3, "n_genes": 2} | changes
    return parse_trust(tensors, **expected)  # type: ignore[arg-type]


def test_both_distances_count_by_their_squares() -> None:
    appearance = np.ones((3, N_APPEARANCE), np.float32)
    appearance[1, 0] = 7
    embeddings = np.array([[5, 0, 0], [9, 0, 0], [0, 0.1, 0]], np.float32)

    distance = make_familiarity().distance(appearance, embeddings)

    assert distance.tolist() == pytest.approx([0, 3 / 2**0.5, 2 / 2**0.5])


def test_the_length_of_features_does_not_count() -> None:
    appearance = np.ones((2, N_APPEARANCE), np.float32)
    embeddings = np.array([[3, 4, 0], [300, 400, 0]], np.float32)

    assert make_familiarity().distance(appearance, embeddings) == pytest.approx([1.6 / 2**0.5] * 2)


def test_features_that_are_zero_have_a_distance() -> None:
    one = np.ones((1, N_APPEARANCE), np.float32)

    assert make_familiarity().distance(one, np.zeros((1, 3), np.float32)).tolist() == [0]


def test_residuals_and_spread_add_as_independent() -> None:
    intervals = Intervals(np.array([3, 0], np.float32), 2.0)
    spread = np.array([[4, 1], [np.nan, np.nan]], np.float32)

    assert intervals.half_width(spread).tolist() == [[10, 2], [6, 0]]


def test_tensors_make_the_same_trust_again() -> None:
    again = parse(make_trust().tensors())

    assert again.intervals is not None
    assert again.intervals.quantile == 2
    for name, tensor in make_trust().tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], tensor)


def test_either_part_may_be_missing() -> None:
    only_intervals = Trust(None, make_trust().intervals)

    assert parse(only_intervals.tensors(), n_components=None).familiarity is None
    assert Trust().tensors() == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_components": None}, "must hold residual_sd"),
        ({"quantile": None}, "must hold appearance_mean"),
        ({"n_components": 2}, r"map of shape \(3, 1\)"),
        ({"embed_dim": 4}, r"not \(4, 1\)"),
        ({"n_genes": 3}, "2 genes, the manifest 3"),
    ],
)
def test_tensors_that_do_not_fit_the_manifest_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(BundleError, match=says):
        parse(make_trust().tensors(), **changes)


@pytest.mark.parametrize("name", ["appearance_map", "embedding_mean", "residual_sd"])
def test_numbers_that_are_not_finite_are_refused(name: str) -> None:
    tensors = make_trust().tensors()
    tensors[name] = tensors[name] * np.float32(np.nan)

    with pytest.raises(BundleError, match="refused"):
        parse(tensors)


def test_a_negative_residual_is_refused() -> None:
    with pytest.raises(BundleError, match="none negative"):
        parse({**make_trust().tensors(), "residual_sd": np.array([1, -1], np.float32)})


def test_a_map_for_other_numbers_of_appearance_is_refused() -> None:
    with pytest.raises(BundleError, match="do not fit each other"):
        parse({**make_trust().tensors(), "appearance_map": np.zeros((2, 2), np.float32)})
