"""From a cohort to a bundle: features, held-out figures, verdicts, head, card, folder."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from vst_dicom import __version__
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.tiles import TileBatch
from vst_dicom.domain.wording import RESEARCH_USE_ONLY
from vst_dicom.files import refuse_existing, whole_folder
from vst_dicom.maps.signatures import read_signatures
from vst_dicom.predict.bundle import MANIFEST_FILE, load_bundle
from vst_dicom.predict.engine import Engine, embed
from vst_dicom.predict.manifest import (
    CARD_FILE,
    CARD_PAGE_FILE,
    ENCODER_FILE,
    EVIDENCE_FILE,
    HEAD_FILE,
    TISSUE_FILE,
    TRUST_FILE,
    Manifest,
    Provenance,
    Scope,
    Target,
    Training,
)
from vst_dicom.predict.manifest_model import ReferenceEmbedding
from vst_dicom.predict.members import Head
from vst_dicom.predict.reference import reference_tile, tile_sha256
from vst_dicom.predict.trust import Trust
from vst_dicom.training.card import write_card
from vst_dicom.training.card_page import Evidence, write_page
from vst_dicom.training.card_parts import chapters_of
from vst_dicom.training.cohort import Cohort
from vst_dicom.training.conformal import calibrate_folds
from vst_dicom.training.distribution import SectionTiles, describe_distribution
from vst_dicom.training.entries import gene_entries, training_cohort
from vst_dicom.training.evaluate import FoldScore
from vst_dicom.training.evidence import as_json, summarize
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Recipe, fit_head, form_of
from vst_dicom.training.gate import judge
from vst_dicom.training.signatures import describe_signatures, judge_signatures
from vst_dicom.training.tissue_fit import describe_tissue, fit_tissue, form_of_tissue, judge_tissue
from vst_dicom.training.weights import EncoderWeights

_PROTOCOL = (
    "each section of a patient left out with the patient's other sections training; each patient left out with the "
    "other patients training; Pearson correlation within a section, averaged over sections"
)


_NOT_YET = "0" * 64
"""Stands for the hash of a file that tells of the others."""


@dataclass(frozen=True, slots=True)
class BundleName:
    """How a bundle is called.

    Parameters
    ----------
    bundle_id, version
        Name and version.
    description
        One line; empty for one that is made up.
    """

    bundle_id: str
    version: str
    description: str = ""


@dataclass(frozen=True, eq=False)
class TrainedBundle:
    """A bundle on disk, and what it says.

    Parameters
    ----------
    folder
        Where it lies.
    manifest
        What it says about itself.
    """

    folder: Path
    manifest: Manifest


def build_bundle(
    out: Path,
    name: BundleName,
    cohort: Cohort,
    sections: Sequence[SectionSpots],
    scores: Sequence[FoldScore],
    panel: Sequence[Gene],
    panel_text: str,
    weights: EncoderWeights,
    engine: Engine,
    data_sha256: str,
    command: str,
    built: date,
    recipe: Recipe,
    seed: int,
    tiles: Sequence[SectionTiles] = (),
) -> TrainedBundle:
    """Fit the head on the cohort's `fit_patients`, judge the genes and write the folder, whole or not at all.

    Parameters
    ----------
    out
        Folder to make.
    name
        Id, version, description.
    cohort, sections
        Data.
    scores
        Held-out figures of all folds.
    panel, panel_text
        Genes, and where they come from.
    weights, engine
        Encoder, and the same on a device.
    data_sha256, command, built
        Provenance.
    recipe, seed
        As used for `scores`.
    tiles
        What the tissue of all sections looks like; without it the bundle cannot tell unfamiliar tissue.

    Raises
    ------
    UsageError
        If `out` holds something already.
    """
    refuse_existing(out)
    train = [section for section in sections if section.patient in cohort.fitted_patients]
    head, choice = fit_head(train, recipe, seed)
    verdicts = judge(scores, cohort.fitted_patients, seed)
    rows = summarize(scores)
    calibration = calibrate_folds(scores, sections)
    genes = gene_entries(panel, verdicts, train, None if calibration is None else calibration.covered_by_gene)
    signatures = judge_signatures(read_signatures(), genes, scores, sections, cohort.fitted_patients, seed)
    distribution, familiarity = describe_distribution(tiles, cohort.fitted_patients) if tiles else (None, None)
    trust = Trust(familiarity, None if calibration is None else calibration.intervals)
    tissue_evidence = judge_tissue(sections, weights.spec.embed_dim)
    tissue = fit_tissue(train, weights.spec.embed_dim) if tissue_evidence.supported else None
    tile = reference_tile(weights.spec.tile_px)
    reference = embed(engine, [TileBatch(np.zeros(1, dtype=np.int64), tile[np.newaxis])], 1)[0]

    contents = {
        ENCODER_FILE: weights.content,
        HEAD_FILE: safetensors.numpy.save(_head_tensors(head, reference)),
        EVIDENCE_FILE: _json_bytes(
            as_json([gene.symbol for gene in panel], scores, verdicts, rows) | {"tissue": tissue_evidence.as_json()}
        ),
    }
    if tissue is not None:
        contents[TISSUE_FILE] = safetensors.numpy.save(tissue[0].tensors())
    if trust.tensors():
        contents[TRUST_FILE] = safetensors.numpy.save(trust.tensors())
    manifest = Manifest(
        format="vst-bundle/1",
        id=name.bundle_id,
        version=name.version,
        description=name.description or _describe(weights, cohort, train),
        files={**_hashes(contents), CARD_FILE: _NOT_YET, CARD_PAGE_FILE: _NOT_YET},
        intended_use=RESEARCH_USE_ONLY,
        encoder=weights.spec,
        reference_embedding=ReferenceEmbedding(tile_sha256=tile_sha256(tile), cos_min=0.999),
        head=form_of(head, choice, recipe),
        target=Target(
            quantity="relative mRNA expression",
            unit="ln(1+CP10k)",
            library=cohort.library,
            spot_um=cohort.spot_um,
            normalisation="natural logarithm of 1 plus counts per 10,000 counts of the spot, all genes counted",
        ),
        genes=genes,
        signatures=signatures,
        uncertainty=None if calibration is None else calibration.summary,
        distribution=distribution,
        tissue=None if tissue is None else form_of_tissue(*tissue, tissue_evidence),
        training=Training(cohorts=(training_cohort(cohort, train),), protocol=_PROTOCOL, panel=panel_text, seed=seed),
        scope=Scope(organs=(cohort.organ,), stain=cohort.stain, species=cohort.species, specimen=(cohort.specimen,)),
        provenance=Provenance(code_version=__version__, command=command, data_sha256=data_sha256, built=built),
    )
    chapters = (describe_tissue(tissue_evidence), *chapters_of(manifest), describe_signatures(manifest.signatures))
    contents[CARD_FILE] = write_card(manifest, rows, chapters).encode()
    contents[CARD_PAGE_FILE] = write_page(manifest, Evidence(sections, scores, verdicts, rows, chapters)).encode()
    manifest = manifest.model_copy(update={"files": _hashes(contents)})
    with whole_folder(out) as folder:
        for file, content in contents.items():
            (folder / file).write_bytes(content)
        (folder / MANIFEST_FILE).write_bytes(_json_bytes(manifest.model_dump(mode="json")))
        load_bundle(folder)
    return TrainedBundle(out, manifest)


def _describe(weights: EncoderWeights, cohort: Cohort, train: Sequence[SectionSpots]) -> str:
    """Say in one line what the bundle is."""
    n_patients = len(cohort.fitted_patients)
    counts = f"{len(train)} sections of {n_patients} patient{'' if n_patients == 1 else 's'}"
    return f"{weights.spec.name}, frozen, with PCA and ridge; fitted on {counts}, {cohort.name}"[:200]


def _hashes(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}


def _head_tensors(head: Head, reference: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    return {**head.tensors(), "reference_embedding": np.ascontiguousarray(reference)}


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
