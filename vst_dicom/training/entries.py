"""What a manifest says about genes and data, from the verdicts and the cohort."""

from collections.abc import Sequence

import numpy as np

from vst_dicom.domain.expression import Gene
from vst_dicom.predict.manifest import TrainingCohort
from vst_dicom.predict.manifest_evidence import GeneEntry
from vst_dicom.training.cohort import Cohort
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.gate import GeneEvidence
from vst_dicom.training.scores import FloatArray


def training_cohort(cohort: Cohort, train: Sequence[SectionSpots]) -> TrainingCohort:
    """Say what data the head was fitted on."""
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


def gene_entries(
    panel: Sequence[Gene],
    verdicts: Sequence[GeneEvidence],
    train: Sequence[SectionSpots],
    covered: FloatArray | None = None,
) -> tuple[GeneEntry, ...]:
    """Put the verdicts of the panel in the manifest's words; `covered` is what intervals hold, shape ``(n_genes,)``."""
    shares = [None] * len(panel) if covered is None else [round(float(share), 4) for share in covered]
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
            held_out_interval=None if verdict.interval is None else _rounded_pair(verdict.interval),
            held_out_unit=verdict.unit,
            n_held_out=verdict.n_units,
            depth_adjusted_r=round(verdict.depth_adjusted_r, 4),
            cell_count_r=round(verdict.nuclei_r, 4),
            other_patient_r=_rounded(verdict.other_patient_r),
            positive_share=_rounded(verdict.positive),
            spearman=_rounded(verdict.rank_r),
            r2=_rounded(verdict.r2),
            mae=_rounded(verdict.mae),
            slope=_rounded(verdict.slope),
            ranks_only=verdict.ranks_only,
            p=_rounded(verdict.p),
            q=_rounded(verdict.q),
            moran_ratio=_rounded(verdict.moran_ratio),
            baselines={name: round(r, 4) for name, r in verdict.baselines.items()},
            interval_coverage=share,
        )
        for gene, verdict, mean, sd, share in zip(
            panel, verdicts, expression.mean(axis=0), expression.std(axis=0), shares, strict=True
        )
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _rounded_pair(pair: tuple[float, float]) -> tuple[float, float]:
    return round(pair[0], 4), round(pair[1], 4)
