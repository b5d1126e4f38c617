import base64
import json
from datetime import date
from html.parser import HTMLParser
from xml.etree import ElementTree

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
    features[:, 0] *= 150
    genes = np.column_stack([features[:, 0] / 150, random.standard_normal(40)]) + 3
    return SectionSpots(name, patient, random.uniform(0, 9, (40, 2)), features, random.uniform(1, 9, (40, 3)),
                        genes.astype(np.float32), random.uniform(100, 900, 40), "not stated",
                        np.zeros((40, 0), dtype=np.float32), (1, 3, 5))  # fmt: skip


class ReadPage(HTMLParser):
    """What a page holds, and whether its tags close in the order in which they opened."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.addresses: list[str] = []
        self.pictures: list[tuple[str, bytes]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = {name: value or "" for name, value in attrs}
        self.addresses += [named[name] for name in ("src", "href", "action", "data", "srcset") if name in named]
        self.ids |= {named["id"]} if "id" in named else set()
        if tag == "img":
            self.pictures.append((named["alt"], base64.b64decode(named["src"].partition(",")[2])))
        if tag not in self.VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


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
        evaluate(sections, RECIPE, n_draws=39),
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


def test_every_signature_says_how_many_of_its_genes_are_usable(trained: TrainedBundle) -> None:
    signatures = {one.signature_id: one for one in load_bundle(trained.folder).signatures}

    assert len(signatures) == 20
    assert not any(one.shown for one in signatures.values())
    assert signatures["her2-group"].reason == "Hidden: 1 of 2 genes usable, all are needed."
    assert signatures["pam50"].reason == "Hidden: 1 of 50 genes usable; it is a set of genes without a score."
    assert signatures["t-cell-inflamed"].reason == "Hidden: 0 of 18 genes usable, fewer than half."


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
        "Two patients prove nothing general.",
        "1 of 2 are shown, 0 of them supported by patients and 1 exploratory. Shown, best first: ERBB2.",
        "| ERBB2 | HGNC:3430 | exploratory |",
        "| IGKC | – | hidden |",
        "## Signatures",
        "0 of 20 published signatures are shown.",
        "| HER2 group | 1 of 2 | mean z | hidden | – | – | Hidden: 1 of 2 genes usable, all are needed. |",
    ):
        assert words in card


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(trained: TrainedBundle) -> None:
    page = load_bundle(trained.folder).card_page
    read = ReadPage(page)

    assert not read.open_tags
    assert read.addresses
    assert all(address.startswith(("data:image/svg+xml;base64,", "#")) for address in read.addresses)
    assert "script" not in read.tags
    for words in (
        "For Research Use Only. Not for use in diagnostic procedures.",
        "Two patients prove nothing general.",
        "1 of 2 survive:",
        "vst-dicom train cohort.toml",
        "Apache-2.0",
        "CC BY 4.0",
        "patient B (B1)",
        "total counts",
    ):
        assert words in read.text


def test_every_picture_of_the_page_is_whole_and_says_what_it_shows(trained: TrainedBundle) -> None:
    pictures = ReadPage(load_bundle(trained.folder).card_page).pictures

    assert len(pictures) == 6
    for alternative, picture in pictures:
        assert alternative
        assert ElementTree.fromstring(picture).tag.endswith("svg")  # noqa: S314
        assert b'href="http' not in picture


def test_every_link_of_the_page_has_a_place(trained: TrainedBundle) -> None:
    read = ReadPage(load_bundle(trained.folder).card_page)

    assert {address[1:] for address in read.addresses if address.startswith("#")} <= read.ids


def test_genes_on_the_page_carry_their_place_in_every_order(trained: TrainedBundle) -> None:
    page = load_bundle(trained.folder).card_page

    assert page.count('<tr role="row"') == 3
    assert '<tr role="row" class="is-hidden" style="--by-r:1;--by-adjusted:1;' in page
    assert "--by-r:0;--by-adjusted:0;" in page


def test_the_manifest_holds_the_evidence_of_every_gene(trained: TrainedBundle) -> None:
    found = trained.manifest.genes[0]

    assert found.positive_share == 1
    assert found.q is not None and found.q <= 0.05
    assert found.slope == pytest.approx(1, abs=0.3)
    assert sorted(found.baselines) == ["nuclei", "nuclei_fitted", "position", "stain", "tissue_class", "total_counts"]


def test_the_evidence_holds_every_fold(trained: TrainedBundle) -> None:
    evidence = json.loads(load_bundle(trained.folder).evidence)

    assert [fold["held_out"] for fold in evidence["folds"]] == ["C1", "C1", "C2", "C2", "B", "C"]


def test_an_existing_folder_is_not_overwritten(trained: TrainedBundle) -> None:
    with pytest.raises(UsageError, match="exists and is not an empty folder"):
        build_bundle(trained.folder, BundleName("x", "0.1.0"), *([None] * 12))  # type: ignore[arg-type]
