import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vst_dicom.domain.errors import BundleError
from vst_dicom.predict.context import Surroundings, with_context
from vst_dicom.predict.head import parse_head
from vst_dicom.predict.manifest_model import MlpForm, RidgeForm
from vst_dicom.predict.members import MemberPredictions
from vst_dicom.predict.mlp_head import MlpHead
from vst_dicom.predict.ridge_head import RidgeHead

RIDGE = RidgeForm(type="pca+ridge", n_components=1, alpha=1.0, rank=1, intercept=True, n_members=2)
MLP = MlpForm(
    type="pca+mlp", n_components=1, n_hidden=2, weight_decay=1.0, n_epochs=1, likelihood="gaussian", n_members=2
)


def f32(*values: object) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def ridge_head() -> RidgeHead:
    """One feature, two genes; the members' slopes for gene 0 are 1 and 3."""
    return RidgeHead(f32(1), f32([2]), f32([2, 5]), f32(10, 20), np.array([[[1, 5]], [[3, 5]]], dtype=np.float32))


def mlp_head() -> MlpHead:
    """One feature, one gene; member 0 gives |x|, member 1 gives 3 where x is negative, else 0."""
    return MlpHead(
        mean=f32(0),
        components=f32([1]),
        hidden_weights=np.array([[[1, -1]], [[0, -1]]], dtype=np.float32),
        hidden_bias=np.array([[0, 0], [-1, 0]], dtype=np.float32),
        weights=np.array([[[1], [1]], [[1], [3]]], dtype=np.float32),
        bias=np.array([[0], [0]], dtype=np.float32),
    )


def test_a_ridge_head_answers_by_its_own_coefficients_and_members_only_say_how_sure() -> None:
    # Feature 2: centered 1, score 2; genes 4 + 10 and 10 + 20. Members say 2 and 6 for gene 0: deviation sqrt(8).
    head = ridge_head()

    assert head.apply(f32([2])).tolist() == [[14, 30]]
    np.testing.assert_allclose(head.spread(f32([2])), [[np.sqrt(8), 0]], rtol=1e-6)


def test_members_agree_at_the_mean_of_the_features() -> None:
    assert ridge_head().spread(f32([1])).tolist() == [[0, 0]]


def test_a_head_without_members_does_not_know_its_spread() -> None:
    head = RidgeHead(f32(1), f32([2]), f32([2, 5]), f32(10, 20))

    assert np.isnan(head.spread(f32([2], [3]))).all()
    assert head.n_members == 0
    assert "member_coefficients" not in head.tensors()


def test_a_network_head_gives_the_mean_of_its_members() -> None:
    # At -2: member 0 gives 2, member 1 gives 3 * 2 = 6; at 2: 2 and 0.
    head = mlp_head()

    assert head.apply(f32([-2], [2])).tolist() == [[4], [1]]
    np.testing.assert_allclose(head.spread(f32([-2], [2])), [[np.sqrt(8)], [np.sqrt(2)]], rtol=1e-6)


@pytest.mark.parametrize(("form", "head"), [(RIDGE, ridge_head()), (MLP, mlp_head())])
def test_a_head_comes_back_from_its_tensors(form: RidgeForm | MlpForm, head: RidgeHead | MlpHead) -> None:
    again = parse_head(form, head.tensors())

    features = f32([-1], [0.5], [4])
    assert type(again) is type(head)
    np.testing.assert_array_equal(again.apply(features), head.apply(features))
    np.testing.assert_array_equal(again.spread(features), head.spread(features))


def test_a_missing_and_an_unknown_tensor_are_refused() -> None:
    tensors = ridge_head().tensors()

    with pytest.raises(BundleError, match="must hold mean, components, coefficients, intercept, member_coefficients"):
        parse_head(RIDGE, {name: tensors[name] for name in tensors if name != "intercept"})
    with pytest.raises(BundleError, match="extra"):
        parse_head(RIDGE, {**tensors, "extra": f32(1)})


def test_tensors_of_one_kind_are_no_head_of_the_other() -> None:
    with pytest.raises(BundleError, match="hidden_weights"):
        parse_head(MLP, ridge_head().tensors())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", np.zeros(2, np.float32)),
        ("components", np.zeros(1, np.float32)),
        ("coefficients", np.zeros((2, 2), np.float32)),
        ("intercept", f32(1, np.nan)),
        ("member_coefficients", np.zeros((2, 1, 3), np.float32)),
    ],
)
def test_tensors_that_do_not_fit_each_other_are_refused(name: str, value: np.ndarray) -> None:
    with pytest.raises(BundleError, match="the head is refused"):
        parse_head(RIDGE, {**ridge_head().tensors(), name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_weights", np.zeros((2, 2, 2), np.float32)),
        ("hidden_bias", np.zeros((2, 3), np.float32)),
        ("weights", np.zeros((1, 2, 1), np.float32)),
        ("bias", np.full((2, 1), np.inf, np.float32)),
    ],
)
def test_layers_that_do_not_fit_each_other_are_refused(name: str, value: np.ndarray) -> None:
    with pytest.raises(BundleError, match="the head is refused"):
        parse_head(MLP, {**mlp_head().tensors(), name: value})


def test_another_number_of_members_or_components_than_the_manifest_says_is_refused() -> None:
    with pytest.raises(BundleError, match="1 components and 2 members, the manifest says 1 and 3"):
        parse_head(RIDGE.model_copy(update={"n_members": 3}), ridge_head().tensors())
    with pytest.raises(BundleError, match="the manifest says 4 and 2"):
        parse_head(MLP.model_copy(update={"n_components": 4}), mlp_head().tensors())


@pytest.mark.parametrize("context", [[], [3, 5], [1, 5, 3], [1, 7], [1, 1]])
def test_a_manifest_with_other_squares_is_refused(context: list[int]) -> None:
    from pydantic import ValidationError

    from vst_dicom.predict.encoders import EFFICIENTNET_LITE0
    from vst_dicom.predict.manifest_model import Encoder

    with pytest.raises(ValidationError, match="context"):
        Encoder.model_validate({**EFFICIENTNET_LITE0.model_dump(), "context": context})


@given(seed=st.integers(0, 2**32 - 1), context=st.sampled_from([(1,), (1, 3), (1, 3, 5)]), n_tiles=st.integers(0, 30))
def test_projecting_before_averaging_gives_the_scores_of_averaged_features(
    seed: int, context: tuple[int, ...], n_tiles: int
) -> None:
    random = np.random.default_rng(seed)
    n_features = len(context) * 7
    head = RidgeHead(
        random.standard_normal(n_features).astype(np.float32),
        random.standard_normal((3, n_features)).astype(np.float32),
        np.zeros((3, 2), np.float32),
        np.zeros(2, np.float32),
    )
    cells = np.stack(np.divmod(random.permutation(64)[:n_tiles], 8), axis=1).astype(np.int32)
    embeddings = random.standard_normal((n_tiles, 7)).astype(np.float32)

    scores = Surroundings(cells, context).means(head.project(embeddings)).sum(axis=1)

    expected = head.scores(with_context(embeddings, cells, context=context))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


def test_a_head_refuses_tiles_of_another_length() -> None:
    with pytest.raises(ValueError, match="a head of 1 features does not take tiles of 2"):
        ridge_head().project(f32([1, 2]))


def test_members_answer_for_the_tiles_and_genes_that_are_asked_for() -> None:
    members = MemberPredictions(ridge_head(), f32([0], [1], [2]), np.arange(2))

    some = members.of_genes([1, 0]).of_genes([1]).of_tiles(np.array([False, True, True]))

    assert len(some) == 2
    whole = list(ridge_head().express_members(f32([1], [2])))
    np.testing.assert_array_equal(np.stack(list(some)), np.stack(whole)[:, :, :1])
