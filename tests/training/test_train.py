import json
from datetime import date

import numpy as np
import pytest
import safetensors.numpy
import torch

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.expression import Gene
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.efficientnet_lite import EfficientNetLite0
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0
from vst_dicom.predict.predictor import Predictor
from vst_dicom.training.cohort import Cohort, Section
from vst_dicom.training.evaluate import evaluate
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Recipe, fit_head
from vst_dicom.training.train import BundleName, TrainedBundle, build_bundle
from vst_dicom.training.weights import EncoderWeights

RECIPE = Recipe(n_components=8, alphas=(1.0,), ranks=(2,))
PANEL = (Gene("ERBB2", "HGNC:3430"), Gene("IGKC"))


def spots(name: str, patient: str, seed: int) -> SectionSpots:
    random = np.random.default_rng(seed)
    features = random.standard_normal((40, 3 * 2064)).astype(np.float32)
    features[:, 0] *= 60
    genes = np.column_stack([features[:, 0] / 60, random.standard_normal(40)]) + 3
    return SectionSpots(name, patient, random.uniform(0, 9, (40, 2)), features, random.uniform(1, 9, (40, 3)),
                        genes.astype(np.float32), random.uniform(100, 900, 40), "not stated",
                        np.zeros((40, 0), dtype=np.float32), (1, 3, 5))  # fmt: skip


@pytest.fixture(scope="module")
def sections() -> list[SectionSpots]:
    return [spots("B1", "B", 0), spots("C1", "C", 1), spots("C2", "C", 2)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sections: list[SectionSpots]) -> TrainedBundle:
    torch.manual_seed(0)
    state = {name: value for name, value in EfficientNetLite0().state_dict().items() if "num_batches" not in name}
    weights = EncoderWeights(safetensors.numpy.save({k: v.numpy() for k, v in state.items()}), EFFICIENTNET_LITE0)
    return build_bundle(
        tmp_path_factory.mktemp("bundles") / "mine",
        BundleName("mine", "1.2.3"),
        Cohort(
            name="a cohort", doi="10.0/0", license="CC BY 4.0", source="nowhere", organ="breast", specimen="FFPE",
            library="ST", spot_um=100, fit_patients=("C",),
            section=tuple(
                Section(id=s.section_id, patient=s.patient, image="i", counts="c", spots="s") for s in sections
            ),
        ),
        sections,
        evaluate(sections, RECIPE),
        PANEL,
        "two genes",
        weights,
        weights.engine("cpu"),
        "ab" * 32,
        "vst-dicom train cohort.toml",
        date(2026, 1, 2),
        RECIPE,
        0,
    )  # fmt: skip


def test_what_was_trained_loads_and_passes_its_own_reference_tile(trained: TrainedBundle) -> None:
    bundle = load_bundle(trained.folder)

    Predictor(bundle, device="cpu")
    assert bundle.identity.bundle_id == "mine"
    assert bundle.manifest == trained.manifest


def test_the_head_is_fitted_on_the_fit_patients_alone(trained: TrainedBundle, sections: list[SectionSpots]) -> None:
    expected, _ = fit_head(sections[1:], RECIPE)

    np.testing.assert_array_equal(load_bundle(trained.folder).head.coefficients, expected.coefficients)
    assert trained.manifest.training.cohorts[0].patients == ("C",)
    assert trained.manifest.training.cohorts[0].held_out_patients == ("B",)


def test_a_gene_without_signal_is_hidden_and_one_with_signal_is_not(trained: TrainedBundle) -> None:
    assert [gene.status for gene in load_bundle(trained.folder).genes] == ["exploratory", "hidden"]


def test_the_card_says_what_it_must(trained: TrainedBundle) -> None:
    card = load_bundle(trained.folder).card

    for words in (
        "For Research Use Only. Not for use in diagnostic procedures.",
        "A demonstration.",
        "The cohort has 2 patients, and 1 patient trained the head.",
        "CC BY 4.0",
        "10.0/0",
        "Not to be used:",
        "vst-dicom train cohort.toml",
        "patient B (B1)",
        "nuclei",
        "| ERBB2 | HGNC:3430 | exploratory |",
        "| IGKC | – | hidden |",
    ):
        assert words in card


def test_the_evidence_holds_every_fold(trained: TrainedBundle) -> None:
    evidence = json.loads(load_bundle(trained.folder).evidence)

    assert [fold["held_out"] for fold in evidence["folds"]] == ["C1", "C1", "C2", "C2", "B", "C"]


def test_an_existing_folder_is_not_overwritten(trained: TrainedBundle) -> None:
    with pytest.raises(UsageError, match="exists and is not an empty folder"):
        build_bundle(trained.folder, BundleName("x", "0.1.0"), *([None] * 12))  # type: ignore[arg-type]
