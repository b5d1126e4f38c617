"""From a cohort to a bundle: features, held-out figures, verdicts, head, card, folder."""

import hashlib
import json
from collections.abc import Sequence
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
from vst_dicom.predict.bundle import MANIFEST_FILE, load_bundle
from vst_dicom.predict.engine import TorchEngine
from vst_dicom.predict.head import Head
from vst_dicom.predict.manifest import (
    CARD_FILE,
    ENCODER_FILE,
    EVIDENCE_FILE,
    HEAD_FILE,
    GeneEntry,
    Manifest,
    Provenance,
    ReferenceEmbedding,
    Scope,
    Target,
    Training,
    TrainingCohort,
)
from vst_dicom.predict.reference import reference_tile, tile_sha256
from vst_dicom.training.card import write_card
from vst_dicom.training.cohort import Cohort
from vst_dicom.training.evaluate import FoldScore
from vst_dicom.training.evidence import as_json, summarize
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.fit import Recipe, fit_head, form_of
from vst_dicom.training.gate import GeneEvidence, judge
from vst_dicom.training.weights import EncoderWeights

_PROTOCOL = (
    "each section of a patient left out with the patient's other sections training; each patient left out with the "
    "other patients training; Pearson correlation within a section, averaged over sections"
)


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
    engine: TorchEngine,
    data_sha256: str,
    command: str,
    built: date,
    recipe: Recipe,
    seed: int,
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
    tile = reference_tile(weights.spec.tile_px)
    reference = engine.embed([TileBatch(np.zeros(1, dtype=np.int64), tile[np.newaxis])], 1)[0]

    contents = {
        ENCODER_FILE: weights.content,
        HEAD_FILE: safetensors.numpy.save(_head_tensors(head, reference)),
        EVIDENCE_FILE: _json_bytes(as_json([gene.symbol for gene in panel], scores, verdicts, rows)),
    }
    manifest = Manifest(
        format="vst-bundle/1",
        id=name.bundle_id,
        version=name.version,
        description=name.description or _describe(weights, cohort, train),
        files=dict.fromkeys((*contents, CARD_FILE), "0" * 64),
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
        genes=_gene_entries(panel, verdicts, train),
        training=Training(cohorts=(_training_cohort(cohort, train),), protocol=_PROTOCOL, panel=panel_text, seed=seed),
        scope=Scope(organs=(cohort.organ,), stain=cohort.stain, species=cohort.species, specimen=(cohort.specimen,)),
        provenance=Provenance(code_version=__version__, command=command, data_sha256=data_sha256, built=built),
    )
    contents[CARD_FILE] = write_card(manifest, rows).encode()
    hashes = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    manifest = manifest.model_copy(update={"files": hashes})
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


def _training_cohort(cohort: Cohort, train: Sequence[SectionSpots]) -> TrainingCohort:
    return TrainingCohort(
        name=cohort.name,
        doi=cohort.doi,
        license=cohort.license,
        source=cohort.source,
        patients=cohort.fitted_patients,
        sections=tuple(section.section_id for section in train),
        held_out_patients=tuple(p for p in cohort.patients if p not in cohort.fitted_patients),
        n_spots=sum(len(section.expression) for section in train),
    )


def _gene_entries(
    panel: Sequence[Gene], verdicts: Sequence[GeneEvidence], train: Sequence[SectionSpots]
) -> tuple[GeneEntry, ...]:
    expression = np.concatenate([section.expression for section in train]).astype(np.float64)
    return tuple(
        GeneEntry(
            symbol=gene.symbol,
            hgnc=gene.hgnc_id,
            mean=round(float(mean), 4),
            sd=round(float(sd), 4),
            status=verdict.status,
            reason=verdict.reason,
            held_out_r=round(verdict.r, 4),
            held_out_interval=verdict.interval,
            held_out_unit=verdict.unit,
            n_held_out=verdict.n_units,
            depth_adjusted_r=round(verdict.depth_adjusted_r, 4),
            cell_count_r=round(verdict.nuclei_r, 4),
            other_patient_r=None if verdict.other_patient_r is None else round(verdict.other_patient_r, 4),
        )
        for gene, verdict, mean, sd in zip(
            panel, verdicts, expression.mean(axis=0), expression.std(axis=0), strict=True
        )
    )


def _head_tensors(head: Head, reference: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    return {**head.tensors(), "reference_embedding": np.ascontiguousarray(reference)}


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
