import numpy as np
import pytest

from tests.training.spots import section
from vst_dicom.training.conformal import Calibration, HeldOutUnit, calibrate, calibrate_folds
from vst_dicom.training.evaluate import evaluate
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Recipe, fit_head

N_GENES = 30


def patient(random: np.random.Generator, offset: float, n_spots: int = 200, *, skewed: bool = False) -> HeldOutUnit:
    """A patient whose genes are all off by an amount of their own, on genes of very different noise."""
    noise = random.exponential(1, (n_spots, N_GENES)) - 1 if skewed else random.standard_normal((n_spots, N_GENES))
    errors = (noise + offset * random.standard_normal(N_GENES)) * np.linspace(0.3, 2, N_GENES)
    predicted = random.standard_normal(errors.shape)
    return HeldOutUnit(
        str(random.integers(10**9)),
        (predicted + errors).astype(np.float32),
        predicted.astype(np.float32),
        np.full(errors.shape, np.nan, np.float32),
    )


def calibrated(units: list[HeldOutUnit]) -> Calibration:
    found = calibrate(units, "patient")
    assert found is not None
    return found


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("offset", [0.0, 0.5, 1.0, 2.0])
def test_intervals_of_eight_patients_cover_85_to_95_percent_on_new_ones(offset: float, skewed: bool) -> None:
    covered = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        found = calibrated([patient(random, offset, skewed=skewed) for _ in range(8)])
        covered += [patient(random, offset, skewed=skewed).covered(found.intervals).mean() for _ in range(8)]

    assert 0.85 <= np.mean(covered) <= 0.95
    assert np.mean([0.8 <= share <= 0.99 for share in covered]) >= 0.95


def test_offsets_between_patients_widen_the_intervals() -> None:
    random = np.random.default_rng(0)
    without = calibrated([patient(random, 0.0) for _ in range(8)])
    with_offset = calibrated([patient(random, 2.0) for _ in range(8)])

    assert (with_offset.intervals.residual_sd > 1.5 * without.intervals.residual_sd).mean() > 0.9


def test_a_patient_with_many_spots_weighs_no_more_than_another() -> None:
    random = np.random.default_rng(0)
    few = [patient(random, 0.0, 50) for _ in range(4)]
    wide = patient(random, 0.0, 50)
    wide = HeldOutUnit("wide", wide.predicted + 9, wide.predicted, wide.spread)
    repeated = HeldOutUnit("wide", *(np.tile(array, (40, 1)) for array in (wide.measured, wide.predicted, wide.spread)))

    once, often = calibrated([*few, wide]), calibrated([*few, repeated])

    assert once.intervals.quantile == pytest.approx(often.intervals.quantile, rel=1e-5)
    np.testing.assert_allclose(once.intervals.residual_sd, often.intervals.residual_sd, rtol=1e-5)


def test_spread_of_members_widens_the_interval_of_that_tile_only() -> None:
    random = np.random.default_rng(0)
    found = calibrated([patient(random, 0.0) for _ in range(4)])
    spread = np.zeros((2, N_GENES), np.float32)
    spread[1] = 10

    calm, unsure = found.intervals.half_width(spread)

    assert calm == pytest.approx(found.intervals.residual_sd * found.intervals.quantile)
    assert (unsure > 5 * calm).all()


def test_the_summary_says_what_so_many_patients_can_promise_and_what_was_measured() -> None:
    random = np.random.default_rng(0)
    found = calibrated([patient(random, 0.5) for _ in range(8)])

    assert found.summary.n_units == 8
    assert found.summary.most_promised == pytest.approx(8 / 9, abs=1e-4)
    assert found.summary.held_out_coverage == pytest.approx(found.covered_by_gene.mean(), abs=1e-4)
    assert len(found.summary.by_unit) == 8
    assert "8 patients can promise a new one 89% at most" in found.summary.describe()


def test_a_single_patient_calibrates_nothing() -> None:
    assert calibrate([patient(np.random.default_rng(0), 0.0)], "patient") is None


def test_a_gene_that_never_errs_still_has_an_interval() -> None:
    flat = [HeldOutUnit(str(n), *(np.zeros((5, 2), np.float32) for _ in range(3))) for n in range(3)]

    assert (calibrated(flat).intervals.residual_sd > 0).all()


def held_out(*sections: SectionSpots) -> Calibration:
    scores = evaluate(sections, Recipe(n_components=4, alphas=(1.0,), ranks=(2,), n_members=0), n_draws=0)
    found = calibrate_folds(scores, sections)
    assert found is not None
    return found


def test_two_patients_calibrate_by_patient() -> None:
    found = held_out(section("A1", "A", 1), section("A2", "A", 2), section("B1", "B", 3, offset=3.0))

    assert (found.summary.unit, list(found.summary.by_unit)) == ("patient", ["A", "B"])
    assert found.summary.most_promised == pytest.approx(2 / 3, abs=1e-4)
    assert (found.intervals.residual_sd > 1).all()


def test_one_patient_calibrates_on_sections_and_says_so() -> None:
    found = held_out(section("A1", "A", 1), section("A2", "A", 2), section("A3", "A", 3))

    assert (found.summary.unit, found.summary.n_units, found.summary.most_promised) == ("section", 3, 0)
    assert "which promise nothing for another" in found.summary.describe()


def simulated(number: int) -> SectionSpots:
    """A patient whose genes are all higher or lower than the others', and whose counts are noisy."""
    offset = np.random.default_rng(1000 + number).normal(0, 0.5)
    return section(f"S{number}", f"P{number}", number, n_spots=120, noise=0.8, offset=float(offset))


def test_intervals_of_a_simulated_cohort_of_eight_cover_85_to_95_percent_of_new_patients() -> None:
    cohort = [simulated(number) for number in range(8)]
    recipe = Recipe(n_components=6, alphas=(1.0,), ranks=(2,), n_members=5)
    found = calibrate_folds(evaluate(cohort, recipe, n_draws=0), cohort)
    assert found is not None
    head, _ = fit_head(cohort, recipe, seed=0)

    covered = []
    for new in map(simulated, range(100, 140)):
        half_width = found.intervals.half_width(head.spread(new.features))
        covered.append((np.abs(new.expression - head.apply(new.features)) <= half_width).mean())

    assert 0.85 <= np.mean(covered) <= 0.95
    assert found.summary.held_out_coverage == pytest.approx(np.mean(covered), abs=0.05)
