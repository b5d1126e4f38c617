"""The machine-readable summary of one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vst_dicom.domain.engine import EngineFacts
from vst_dicom.domain.expression import PanelGene
from vst_dicom.domain.result import Hotspot, SlideResult
from vst_dicom.domain.signature import SignatureScore
from vst_dicom.domain.tissue import TISSUE_CLASSES, name_class
from vst_dicom.domain.wording import HOTSPOT, RESEARCH_USE_ONLY, UNIT


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How a run went.

    Parameters
    ----------
    slide
        Identifiers and geometry of the slide; never patient data.
    engine
        What computed, see `vst_dicom.domain.engine.EngineFacts`.
    stage_seconds
        Wall time per stage.
    versions
        Of the product and of the libraries that shape the numbers.
    files
        Names of the files written.
    """

    slide: Mapping[str, Any]
    engine: EngineFacts
    stage_seconds: Mapping[str, float]
    versions: Mapping[str, str]
    files: Sequence[str]


def summarize(result: SlideResult, panel: Sequence[PanelGene], facts: RunFacts) -> dict[str, Any]:
    """State the result as plain JSON values.

    Parameters
    ----------
    result
        What was found; it holds shown genes only.
    panel
        Every gene of the bundle, hidden ones too: they appear with their reason and without values.
    facts
        How the run went.
    """
    n_tiles = len(result.grid)
    columns = {gene.gene.symbol: index for index, gene in enumerate(result.expression.genes)}
    return {
        "notice": RESEARCH_USE_ONLY,
        "slide": dict(facts.slide),
        "result_key": result.key,
        "created": result.created.isoformat(),
        "n_tiles": n_tiles,
        "tiles": {
            "n_blurred": int(result.quality.blurred.sum()),
            "n_inked": int(result.quality.inked.sum()),
            "n_masked": len(result.masked_cells),
            "median_distance": None if result.distance is None else round(float(np.median(result.distance)), 4),
        },
        "intervals": result.interval_note or None,
        "unit": UNIT,
        "device": facts.engine.device_name,
        "engine": facts.engine.name,
        "precision": facts.engine.precision,
        "batch_size": facts.engine.batch_size,
        "probe_ms_per_tile": dict(facts.engine.probe_ms),
        "steps_down": list(facts.engine.steps_down),
        "stages": {
            name: {"seconds": round(seconds, 3), "tiles_per_s": round(n_tiles / seconds, 1) if seconds > 0 else None}
            for name, seconds in facts.stage_seconds.items()
        },
        "bundle": {
            "id": result.bundle.bundle_id,
            "version": result.bundle.version,
            "sha256": result.bundle.sha256,
            "description": result.bundle.description,
        },
        "parameters": dict(result.parameters),
        "genes": [_gene(gene, result, columns.get(gene.gene.symbol)) for gene in panel],
        "signatures": [_signature(score) for score in result.signatures],
        "tissue_classes": _count_classes(result),
        "hotspots": [_hotspot(hotspot) for hotspot in result.hotspots],
        "hotspots_note": HOTSPOT,
        "warnings": list(result.warnings),
        "versions": dict(facts.versions),
        "files": sorted(facts.files),
    }


def _count_classes(result: SlideResult) -> dict[str, int] | None:
    """Tiles of each class; None where tissue was not classified."""
    if result.tissue_class is None:
        return None
    counts = np.bincount(result.tissue_class, minlength=len(TISSUE_CLASSES))
    return {name: int(count) for name, count in zip(TISSUE_CLASSES, counts, strict=True)}


def _hotspot(hotspot: Hotspot) -> dict[str, Any]:
    return {
        "number": hotspot.number,
        "gene": hotspot.gene.gene.symbol,
        "n_tiles": len(hotspot.tiles),
        "area_mm2": round(hotspot.area_mm2, 6),
        "mean": round(hotspot.mean, 5),
        "interval": None if hotspot.interval is None else [round(limit, 5) for limit in hotspot.interval],
        "class_mean": round(hotspot.class_mean, 5),
        "tissue_class": name_class(hotspot.tissue_class),
        "gi_star": round(hotspot.z, 3),
        "gi_star_threshold": round(hotspot.threshold, 3),
        "masked_nearby": round(hotspot.masked_nearby, 4),
    }


def _gene(gene: PanelGene, result: SlideResult, column: int | None) -> dict[str, Any]:
    """State a gene; without a column it is hidden or was not chosen."""
    values = None if column is None else result.expression.values[:, column]
    half_width = None if column is None or result.half_width is None else result.half_width[:, column]
    return {
        "symbol": gene.gene.symbol,
        "hgnc": gene.gene.hgnc_id,
        "shown": values is not None,
        "status": gene.status.value,
        "reason": gene.reason,
        "ranks_only": gene.ranks_only,
        "mean": None if values is None else round(float(np.mean(values)), 5),
        "p95": None if values is None else round(float(np.quantile(values, 0.95)), 5),
        "interval_half_width": None if half_width is None else round(float(np.median(half_width)), 5),
        "held_out": {
            "r": round(gene.held_out_r, 4),
            "interval": gene.held_out_interval,
            "unit": gene.held_out_unit,
            "n": gene.n_held_out,
            "depth_adjusted_r": gene.depth_adjusted_r,
        },
    }


def _signature(score: SignatureScore) -> dict[str, Any]:
    signature, values = score.signature, score.values
    return {
        "id": signature.signature_id,
        "name": signature.name,
        "shown": values is not None,
        "status": signature.status.value,
        "coverage": signature.coverage,
        "genes": [gene.gene.symbol for gene in signature.genes],
        "n_genes": signature.n_genes,
        "reason": signature.reason,
        "note": signature.note,
        "citation": signature.citation,
        "scoring": signature.scoring.value,
        "unit": signature.scoring.unit,
        "mean": None if values is None else round(float(np.mean(values)), 5),
        "p95": None if values is None else round(float(np.quantile(values, 0.95)), 5),
        "held_out": {
            "r": signature.held_out_r,
            "interval": signature.held_out_interval,
            "unit": signature.held_out_unit,
            "n": signature.n_held_out,
            "depth_adjusted_r": signature.depth_adjusted_r,
        },
    }
