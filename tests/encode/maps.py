"""Parametric Maps for tests."""

import dataclasses

import numpy as np
from pydicom.dataset import Dataset

from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.expression import Gene, GeneStatus
from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.signature import PanelSignature, ScoredGene, Scoring, SignatureScore
from vst_dicom.encode.parametric_map import parametric_map_objects


def encode_expression(source: SourceSlide, result: SlideResult) -> Dataset:
    """The map of all genes, as usual."""
    return parametric_map_objects(source, result, Encoding())[0].encode()


def make_signature(signature_id: str, scoring: Scoring, status: GeneStatus = GeneStatus.EXPLORATORY) -> PanelSignature:
    genes = tuple(ScoredGene(Gene(symbol), 1.0, 1.0, 0.5) for symbol in ("ERBB2", "ESR1"))
    return PanelSignature(
        signature_id, signature_id.capitalize(), scoring, "Somebody, 2020", "", 3, genes, status, "because"
    )


def with_layers(result: SlideResult) -> SlideResult:
    """Give a result everything that maps can show; its second tile was in no search for hotspots."""
    n_tiles, n_genes = result.expression.values.shape
    rng = np.random.default_rng(7)
    gi_star = rng.normal(0, 3, (n_tiles, n_genes)).astype(np.float32)
    gi_star[1 % n_tiles] = np.nan
    values = [rng.normal(size=n_tiles).astype(np.float32) for _ in range(3)]
    return dataclasses.replace(
        result,
        half_width=rng.uniform(0.2, 0.9, (n_tiles, n_genes)).astype(np.float32),
        interval_note="90% intervals, nominal: 8 patients can promise a new one 89% at most",
        gi_star=gi_star,
        distance=rng.uniform(0.1, 1, n_tiles).astype(np.float32),
        signatures=(
            SignatureScore(make_signature("antigen-presentation", Scoring.MEAN_Z), values[0]),
            SignatureScore(make_signature("cytolytic-activity", Scoring.GEOMETRIC_MEAN), values[1]),
            SignatureScore(make_signature("hypoxia", Scoring.MEAN_Z, GeneStatus.HIDDEN), None),
            SignatureScore(make_signature("t-cell-inflamed", Scoring.WEIGHTED_SUM), values[2]),
        ),
    )
