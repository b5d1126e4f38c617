"""The published signatures, and their scores on the tiles of a slide.

The lists lie in ``signatures.json`` beside this file: approved symbols with HGNC identifiers, the weights and the
publication of each, and the public copies it was checked against. Left out are the hallmark sets and everything
scored by ranks over the whole transcriptome (ssGSEA and its like): a panel has no such ranks.
"""

import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vst_dicom.domain.expression import ExpressionTable, Gene
from vst_dicom.domain.signature import Member, PanelSignature, Scoring, Signature, SignatureScore, combine

_FILE: Final = "signatures.json"


@functools.cache
def read_signatures() -> tuple[Signature, ...]:
    """All signatures of the product, in the order of the file."""
    text = (importlib.resources.files("vst_dicom.maps") / _FILE).read_text(encoding="utf-8")
    return tuple(
        Signature(
            signature_id=entry["id"],
            name=entry["name"],
            scoring=Scoring(entry["scoring"]),
            members=tuple(_member(member) for member in entry["members"]),
            citation=entry["citation"],
            doi=entry["doi"],
            note=entry["note"],
        )
        for entry in json.loads(text)["signatures"]
    )


def _member(entry: Mapping[str, Any]) -> Member:
    return Member(Gene(entry["symbol"], entry["hgnc"]), entry.get("weight", 1.0), entry.get("published_as"))


def score_signatures(signatures: Sequence[PanelSignature], shown: ExpressionTable) -> tuple[SignatureScore, ...]:
    """Score the tiles of a slide.

    Parameters
    ----------
    signatures
        Of the bundle, those that are not shown included.
    shown
        All genes that the bundle may show.

    Returns
    -------
    tuple[SignatureScore, ...]
        In the order given; without values where a signature is not shown.
    """
    columns = {gene.gene.symbol: column for column, gene in enumerate(shown.genes)}
    scores = []
    for signature in signatures:
        values = None
        if signature.shown:
            own = [columns[gene.gene.symbol] for gene in signature.genes]
            values = combine(signature.scoring, signature.genes, shown.values[:, own])
        scores.append(SignatureScore(signature, values))
    return tuple(scores)
