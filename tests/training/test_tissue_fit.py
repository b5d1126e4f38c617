import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from tests.predict.bundles import manifest as make_manifest
from tests.training.spots import section
from vst_dicom.domain.errors import BundleError
from vst_dicom.domain.tissue import FAT, OTHER, STROMA, TUMOR_LIKE
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.tissue import TissueHead, parse_tissue_head
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.tissue import MARKERS, MARKERS_OF
from vst_dicom.training.tissue_fit import (
    cohen_kappa,
    describe_tissue,
    fit_tissue,
    form_of_tissue,
    judge_tissue,
)

EMBED_DIM = 12


def classified(name: str, patient: str, seed: int, *, looks: bool = True) -> tuple[SectionSpots, np.ndarray]:
    """Spots of three classes, told apart by markers, and by the first two features if `looks`."""
    spots = section(name, patient, seed, n_spots=120)
    random = np.random.default_rng(seed + 1000)
    classes = random.permutation(np.repeat([TUMOR_LIKE, STROMA, FAT], 40)).astype(np.int8)
    markers = random.uniform(0, 1, (120, len(MARKERS)))
    for tissue_class, symbols in MARKERS_OF.items():
        markers[np.ix_(classes == tissue_class, [MARKERS.index(symbol) for symbol in symbols])] += 2
    features = np.concatenate([spots.features, random.standard_normal(spots.features.shape)], axis=1)
    if looks:
        features[:, 0] += 12 * (classes == TUMOR_LIKE)
        features[:, 1] += 12 * (classes == FAT)
    return (
        dataclasses.replace(spots, features=features.astype(np.float32), markers=markers.astype(np.float32)),
        classes,
    )


def cohort(*, looks: bool = True) -> list[SectionSpots]:
    return [classified(f"{patient}1", patient, seed, looks=looks)[0] for seed, patient in enumerate("ABCD")]


def test_classes_that_look_different_are_told_apart_on_a_patient_left_out() -> None:
    sections = cohort()
    new, classes = classified("E1", "E", 9)

    fitted = fit_tissue(sections, EMBED_DIM)
    evidence = judge_tissue(sections, EMBED_DIM)

    assert fitted is not None
    head, _ = fitted
    assert head.classes == (TUMOR_LIKE, STROMA, FAT)
    assert (head.apply(new.features[:, :EMBED_DIM]) == classes).mean() > 0.9
    assert evidence.unit == "patient"
    assert list(evidence.kappa_by_unit) == list("ABCD")
    assert evidence.kappa > 0.85
    assert evidence.supported
    assert evidence.confusion.sum() == 480


def test_classes_that_look_alike_leave_the_classifier_unused() -> None:
    evidence = judge_tissue(cohort(looks=False), EMBED_DIM)

    assert abs(evidence.kappa) < 0.15
    assert not evidence.supported
    assert evidence.reason.startswith("not used, hotspots are relative to all tissue: kappa")
    assert "not used" in describe_tissue(evidence).as_markdown()


def test_a_single_patient_is_judged_by_its_sections() -> None:
    sections = [dataclasses.replace(one, patient="A") for one in cohort()]

    assert judge_tissue(sections, EMBED_DIM).unit == "section"


def test_a_cohort_without_markers_teaches_nothing() -> None:
    sections = [section(f"{patient}1", patient, seed) for seed, patient in enumerate("AB")]

    evidence = judge_tissue(sections, EMBED_DIM // 2)

    assert fit_tissue(sections, EMBED_DIM // 2) is None
    assert not evidence.supported
    assert "fewer than two classes" in evidence.reason
    assert "|" not in describe_tissue(evidence).as_markdown()


def test_the_same_spots_give_the_same_classifier() -> None:
    first, second = fit_tissue(cohort(), EMBED_DIM), fit_tissue(cohort(), EMBED_DIM)

    assert first is not None
    assert second is not None
    assert (first[0].coefficients == second[0].coefficients).all()


def test_two_classes_are_enough() -> None:
    sections = [one.subset(np.flatnonzero(classified(one.section_id, one.patient, seed)[1] != FAT))
                for seed, one in enumerate(cohort())]  # fmt: skip
    fitted = fit_tissue(sections, EMBED_DIM)

    assert fitted is not None
    probabilities = fitted[0].probabilities(sections[0].features[:, :EMBED_DIM])
    assert fitted[0].classes == (TUMOR_LIKE, STROMA)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(probabilities)), abs=1e-5)
    assert (probabilities[:, OTHER] == 0).all()


def test_kappa_by_hand() -> None:
    """30 of 50 agree, 25 by chance: (0.6 - 0.5) / 0.5."""
    assert cohen_kappa(np.array([[15, 10], [10, 15]])) == pytest.approx(0.2)
    assert cohen_kappa(np.diag([50, 0])) == 0
    assert cohen_kappa(np.zeros((5, 5), int)) == 0


def test_a_bundle_carries_the_classifier(tmp_path) -> None:
    from tests.predict.bundles import EMBED_DIM as BUNDLE_DIM
    from tests.predict.bundles import read_manifest, replace_file, rewrite_manifest, write_bundle

    head = TissueHead(
        (TUMOR_LIKE, STROMA),
        np.zeros(BUNDLE_DIM, np.float32),
        np.eye(2, BUNDLE_DIM, dtype=np.float32),
        np.eye(2, dtype=np.float32),
        np.zeros(2, np.float32),
    )
    folder = write_bundle(tmp_path / "tiny")
    value = read_manifest(folder)
    form = form_of_tissue(head, 1.0, judge_tissue(cohort(), EMBED_DIM))
    value["tissue"] = form.model_dump(mode="json")
    rewrite_manifest(folder, value)
    with pytest.raises(BundleError, match="go together"):
        load_bundle(folder)
    replace_file(folder, "tissue.safetensors", safetensors.numpy.save(head.tensors()))

    loaded = load_bundle(folder).tissue

    assert loaded is not None
    assert loaded.apply(np.eye(2, BUNDLE_DIM, dtype=np.float32)).tolist() == [TUMOR_LIKE, STROMA]
    assert make_manifest({}).get("tissue") is None


def test_a_classifier_that_does_not_fit_is_refused() -> None:
    good = {
        "mean": np.zeros(3, np.float32),
        "components": np.zeros((2, 3), np.float32),
        "coefficients": np.zeros((2, 2), np.float32),
        "intercept": np.zeros(2, np.float32),
    }
    names = ("stroma", "fat")

    assert parse_tissue_head(names, 3, good).classes == (STROMA, FAT)
    with pytest.raises(BundleError, match="reads 3 features, the encoder gives 4"):
        parse_tissue_head(names, 4, good)
    with pytest.raises(BundleError, match="must hold mean"):
        parse_tissue_head(names, 3, {"mean": good["mean"]})
    with pytest.raises(BundleError, match="do not fit each other"):
        parse_tissue_head(("stroma", "fat", "other"), 3, good)
    with pytest.raises(BundleError, match="not finite"):
        parse_tissue_head(names, 3, {**good, "intercept": np.full(2, np.nan, np.float32)})
