"""Judge signatures by the score itself: predicted against measured on held-out tissue, by the rule of the genes.

A score can be more reliable than its genes, since their errors cancel, or less, since a sum follows its loudest
member. So it is tested as if it were a gene: same folds, same held-out predictions, same baselines, same verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vst_dicom.domain.expression import Gene, GeneStatus
from vst_dicom.domain.signature import LEAST_GENES, Member, ScoredGene, Signature, combine
from vst_dicom.predict.manifest_evidence import GeneEntry, SignatureEntry, SignatureGene
from vst_dicom.training.card_chapter import Chapter
from vst_dicom.training.evaluate import FoldScore
from vst_dicom.training.features import SectionSpots
from vst_dicom.training.figures import measure
from vst_dicom.training.gate import GeneEvidence, judge
from vst_dicom.training.yardsticks import predict_baselines

Known = list[tuple[Member, int]]
"""Members of a signature that are in the panel, each with its column."""


def judge_signatures(
    signatures: Sequence[Signature],
    panel: Sequence[GeneEntry],
    scores: Sequence[FoldScore],
    sections: Sequence[SectionSpots],
    fit_patients: Sequence[str],
    seed: int,
) -> tuple[SignatureEntry, ...]:
    """Judge every signature.

    Parameters
    ----------
    signatures
        Published lists.
    panel
        All genes of the bundle, judged; only shown ones are used.
    scores
        Of all folds, with their held-out predictions.
    sections
        All sections of the cohort.
    fit_patients
        Patients whose spots give the head.
    seed
        Of the null's and the interval's draws.

    Returns
    -------
    tuple[SignatureEntry, ...]
        One per signature, in the same order; those with too few shown genes are hidden without being tested.
    """
    known = [find_members(signature, panel) for signature in signatures]
    usable = [[(member, column) for member, column in own if _is_usable(panel[column])] for own in known]
    faults = [
        signature.find_fault([member for member, _ in own]) for signature, own in zip(signatures, usable, strict=True)
    ]
    tested = [index for index, fault in enumerate(faults) if not fault]
    verdicts: dict[int, GeneEvidence] = {}
    if tested:
        by_id = {section.section_id: section for section in sections}
        own = [(signatures[index], usable[index]) for index in tested]
        rescored = [_score_fold(score, by_id, own, seed) for score in scores]
        verdicts = dict(zip(tested, judge(rescored, fit_patients, seed), strict=True))
    entries = []
    for index, signature in enumerate(signatures):
        genes = [(member, panel[column]) for member, column in usable[index]]
        verdict = verdicts.get(index)
        if verdict is None:
            n_hidden = len(known[index]) - len(genes)
            more = f"; {n_hidden} more {'is' if n_hidden == 1 else 'are'} in the panel but hidden" if n_hidden else ""
            reason = f"Hidden: {faults[index]}{more}."
        else:
            reason = f"{len(genes)} of {len(signature.members)} genes usable. {verdict.reason}"
        entries.append(_entry(signature, genes, reason, verdict))
    return tuple(entries)


def describe_signatures(entries: Sequence[SignatureEntry]) -> Chapter:
    """Tell what became of every signature, for the card."""
    shown = [entry for entry in entries if entry.status is not GeneStatus.HIDDEN]
    return Chapter(
        "Signatures",
        (
            f"{len(shown)} of {len(entries)} published signatures are shown. A score is made of shown genes only. It "
            f"is refused where fewer than half of the genes, or fewer than {LEAST_GENES}, are usable, where these "
            "carry less than half of the weights, and where a contrast has lost a side. A score that is left is tested "
            "as if it were a gene, on the same held-out tissue and by the same conditions; its genes were selected by "
            "the same figures.",
            "Z-scores use mean and standard deviation of the training cohort, never of the slide.",
            *(f"{entry.name}: {entry.note}" for entry in shown if entry.note),
        ),
        ("signature", "usable genes", "scoring", "status", "held-out r", "depth-adjusted", "reason"),
        tuple(
            (
                entry.name,
                f"{len(entry.genes)} of {entry.n_genes}",
                entry.scoring.value,
                entry.status.value,
                _number(entry.held_out_r),
                _number(entry.depth_adjusted_r),
                entry.reason,
            )
            for entry in sorted(entries, key=lambda one: one.status is GeneStatus.HIDDEN)
        ),
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def find_members(signature: Signature, panel: Sequence[GeneEntry]) -> Known:
    """Members that are in the panel, shown or not, in the order of the signature."""
    genes = [Gene(entry.symbol, entry.hgnc) for entry in panel]
    return [
        (member, column)
        for member in signature.members
        for column in [next((column for column, gene in enumerate(genes) if member.is_same(gene)), None)]
        if column is not None
    ]


def _is_usable(entry: GeneEntry) -> bool:
    """Whether a gene may be part of a score: it is shown, and varies in the training cohort."""
    return entry.status is not GeneStatus.HIDDEN and entry.sd > 0


def _score_fold(
    score: FoldScore, by_id: Mapping[str, SectionSpots], tested: Sequence[tuple[Signature, Known]], seed: int
) -> FoldScore:
    """Measure the scores on the held-out sections of a fold; mean and deviation are those of its training spots."""
    train = [by_id[name] for name in score.fold.train]
    expression = np.concatenate([section.expression for section in train]).astype(np.float64)
    mean, sd = expression.mean(axis=0), expression.std(axis=0)
    sd[sd == 0] = 1.0

    def scored(values: NDArray[np.floating]) -> NDArray[np.float32]:
        columns = []
        for signature, usable in tested:
            genes = [ScoredGene(member.gene, member.weight, mean[column], sd[column]) for member, column in usable]
            columns.append(combine(signature.scoring, genes, values[:, [column for _, column in usable]]))
        return np.stack(columns, axis=1)

    train_scores = [replace(section, expression=scored(section.expression)) for section in train]
    n_draws = len(score.figures.null_r)
    figures = {}
    for name, predicted in score.predicted.items():
        section = replace(by_id[name], expression=scored(by_id[name].expression))
        baselines = predict_baselines(train_scores, section)
        figures[name] = measure(section, scored(predicted), baselines, n_draws, seed)
    return FoldScore(score.fold, score.choice, score.n_spots, figures)


def _entry(
    signature: Signature, usable: Sequence[tuple[Member, GeneEntry]], reason: str, verdict: GeneEvidence | None
) -> SignatureEntry:
    return SignatureEntry(
        id=signature.signature_id,
        name=signature.name,
        scoring=signature.scoring,
        citation=signature.citation,
        note=signature.note,
        n_genes=len(signature.members),
        genes=tuple(SignatureGene(symbol=entry.symbol, weight=member.weight) for member, entry in usable),
        status=GeneStatus.HIDDEN if verdict is None else verdict.status,
        reason=reason,
        held_out_r=None if verdict is None else round(verdict.r, 4),
        held_out_interval=None if verdict is None else verdict.interval,
        held_out_unit=None if verdict is None else verdict.unit,
        n_held_out=0 if verdict is None else verdict.n_units,
        depth_adjusted_r=None if verdict is None else round(verdict.depth_adjusted_r, 4),
    )
