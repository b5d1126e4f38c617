"""The main path: an open slide in, a folder of results out. Start reading here.

slide → thumbnail → tissue → grid → tiles → predict → mask → maps and hotspots → encode → check → write
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from vst_dicom.dicom.attributes import read_text
from vst_dicom.dicom.source import Slide
from vst_dicom.dicom.specimen import stated_stain
from vst_dicom.domain.errors import StainError, UsageError
from vst_dicom.domain.expression import ExpressionTable, GeneStatus
from vst_dicom.domain.forms import Encoding, ResultForm
from vst_dicom.domain.result import SlideResult
from vst_dicom.files import refuse_existing
from vst_dicom.maps.hotspots import Doubt, HotspotSearch, find_hotspots, keep_stable
from vst_dicom.maps.signatures import score_signatures
from vst_dicom.pipeline.identity import result_key, result_parameters
from vst_dicom.pipeline.masking import mask_untrusted
from vst_dicom.pipeline.shifted import predict_shifted
from vst_dicom.pipeline.stages import Stages
from vst_dicom.pipeline.writing import write_results
from vst_dicom.predict.predictor import Prediction, Predictor
from vst_dicom.slide.description import SIMULATED_MODEL
from vst_dicom.tiles.coarse import thin
from vst_dicom.tiles.grid import check_spacing, lay_grid
from vst_dicom.tiles.quality import QualityRecorder
from vst_dicom.tiles.sampler import sample_tiles
from vst_dicom.tiles.thumbnail import read_thumbnail
from vst_dicom.tiles.tissue import check_stain, find_tissue

Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user chose.

    Parameters
    ----------
    genes
        Symbols to show, None for all that evidence supports.
    forms
        Which result forms to write; the summary is always written.
    encoding
        How they are written.
    overwrite
        Whether earlier results of the same slide may be replaced.
    job_key
        Name of the job that this is done for; enters the key of the result. Empty without a job.
    predecessor_key
        Name of the job that had earlier content of the same slide; empty if there was none.
    shadow_of
        Name of the job beside which this runs for comparison; empty if its own result is used.
    coarse
        Whether to predict one tile of four, for a quick answer, and look for no hotspots.
    coarse_key
        Name of the job that gave such an answer before; empty if none did.
    """

    genes: tuple[str, ...] | None = None
    forms: frozenset[ResultForm] = frozenset(ResultForm)
    encoding: Encoding = field(default_factory=Encoding)
    overwrite: bool = False
    job_key: str = ""
    predecessor_key: str = ""
    shadow_of: str = ""
    coarse: bool = False
    coarse_key: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one slide became.

    Parameters
    ----------
    folder
        Where the results lie.
    result
        What was found.
    summary
        The content of ``summary.json``.
    """

    folder: Path
    result: SlideResult
    summary: Mapping[str, Any]


def process_slide(
    slide: Slide, predictor: Predictor, out: Path, *, choices: Choices, now: datetime, progress: Progress
) -> Outcome:
    """Predict gene maps of one slide and write every chosen result form.

    Parameters
    ----------
    slide
        Open slide; it stays open.
    predictor
        A bundle on a device.
    out
        Folder to make; it appears whole or not at all.
    choices
        What the user chose.
    now
        Time of the run, UTC; recorded in every object.
    progress
        Told how far the work is.

    Raises
    ------
    InputError
        If the slide is too coarse, not H&E, without tissue, damaged, or unlike what the bundle was trained on.
    UsageError
        If a chosen gene is not in the bundle.
    ResourceError
        If memory does not suffice.
    """
    refuse_existing(out, overwrite=choices.overwrite)
    stages = Stages(progress)
    spec = predictor.bundle.manifest.encoder
    base = slide.levels[0]
    _check_genes(predictor, choices)
    warnings = [*slide.source.warnings, *check_spacing(base.spacing, spec.spacing_um_range[1], 1.2 * spec.spacing_um)]

    with stages.measure("tissue"):
        thumbnail = read_thumbnail(slide)
        tissue = find_tissue(thumbnail)
        stain = stated_stain(slide.source.header)
        if stain not in (None, "he"):
            msg = f"the slide says that it is stained with {stain}; this model reads hematoxylin and eosin only"
            raise StainError(msg)
        check_stain(thumbnail, tissue)
        grid, tissue_fraction = lay_grid(base, tissue, spec.tile_px * spec.spacing_um)
        thinned = thin(grid) if choices.coarse else None
        if thinned is not None:
            grid, tissue_fraction = thinned.picked, tissue_fraction[thinned.is_picked]

    recorder = QualityRecorder(len(grid))
    with stages.measure("predict", len(grid)) as tiles_done:
        batches = sample_tiles(
            slide, grid.corners_px, grid.tile_size, tile_px=spec.tile_px, batch_size=predictor.engine.batch_size
        )
        prediction = predictor.predict(stages.waiting("read", recorder.watch(batches)), grid, tiles_done)
        quality = recorder.quality(tissue_fraction)
        if thinned is not None:
            grid, quality = thinned.squares, quality.of_tiles(thinned.order)
            prediction = prediction.of_tiles(thinned.order)

    with stages.measure("maps"):
        distribution, uncertainty = predictor.bundle.manifest.distribution, predictor.bundle.manifest.uncertainty
        trusted = mask_untrusted(
            grid,
            quality,
            prediction,
            None if distribution is None else distribution.refuse_share,
        )
        grid, quality = trusted.grid, trusted.quality
        shown = trusted.prediction.expression.shown()
        expression = _chosen(shown, choices)
        usable = ~(quality.blurred | quality.inked)
        warnings = [
            *_origin_warnings(slide),
            *_history_warnings(choices),
            *_coarse_warnings(choices),
            *_evidence_warnings(expression),
            *_class_warnings(prediction),
            *warnings,
            *trusted.warnings,
            *_quality_warnings(usable),
        ]
        half_width = trusted.half_width_of(expression.genes)
        doubt = Doubt(trusted.members_of(expression.genes), half_width, trusted.masked_cells)
        search = (
            HotspotSearch((), None)
            if choices.coarse
            else find_hotspots(expression, grid, usable, base.spacing, trusted.prediction.tissue_class, doubt)
        )
    if search.hotspots:
        with stages.measure("stability") as tiles_done:
            shifted = predict_shifted(slide, predictor, grid, expression, search.hotspots, tiles_done)
            search = keep_stable(search, shifted, grid, usable, base.spacing, trusted.prediction.tissue_class)

    encoding, left_out = choices.encoding.limited_to(gene.gene.symbol for gene in expression.genes)
    warnings += _encoding_warnings(left_out)
    parameters = result_parameters(slide, grid, choices.genes, encoding, coarse=choices.coarse)
    result = SlideResult(
        key=result_key(slide.source, predictor.bundle.identity, parameters, choices.job_key),
        created=now,
        grid=grid,
        quality=quality,
        expression=expression,
        hotspots=search.hotspots,
        bundle=predictor.bundle.identity,
        parameters=parameters,
        warnings=tuple(warnings),
        signatures=score_signatures(predictor.bundle.signatures, shown),
        tissue_class=trusted.prediction.tissue_class,
        gi_star=search.gi_star,
        distance=trusted.prediction.distance,
        half_width=half_width,
        interval_note="" if uncertainty is None else uncertainty.describe(),
        masked_cells=trusted.masked_cells,
        coarse=choices.coarse,
        computed=str(predictor.engine.facts),
    )

    summary = write_results(out, slide, predictor, result, choices.forms, encoding, stages, overwrite=choices.overwrite)
    return Outcome(out, result, summary)


def _check_genes(predictor: Predictor, choices: Choices) -> None:
    known = {gene.gene.symbol: gene for gene in predictor.bundle.genes}
    for symbol in choices.genes or ():
        if symbol not in known:
            msg = (
                f"bundle {predictor.bundle.identity.bundle_id} does not know gene {symbol}; "
                "see its genes with: vst-dicom bundle show"
            )
            raise UsageError(msg)
        if not known[symbol].shown:
            msg = f"gene {symbol} is not shown: {known[symbol].reason}"
            raise UsageError(msg)


def _chosen(table: ExpressionTable, choices: Choices) -> ExpressionTable:
    if choices.genes is None:
        return table
    columns = {gene.gene.symbol: index for index, gene in enumerate(table.genes)}
    picked = [columns[symbol] for symbol in dict.fromkeys(choices.genes)]
    return ExpressionTable(tuple(table.genes[index] for index in picked), table.values[:, picked])


def _origin_warnings(slide: Slide) -> list[str]:
    if read_text(slide.source.header, "ManufacturerModelName") == SIMULATED_MODEL:
        return ["a simulated slide: its maps show that the way works, and nothing about biology"]
    return []


def _history_warnings(choices: Choices) -> list[str]:
    if choices.shadow_of:
        return [f"a shadow of job {choices.shadow_of}: made to compare two bundles; it was sent to nobody"]
    if choices.predecessor_key:
        return [f"the slide changed since an earlier result, that of job {choices.predecessor_key}; both are kept"]
    return []


def _coarse_warnings(choices: Choices) -> list[str]:
    if choices.coarse:
        return [
            "coarse and preliminary: one tile of four was predicted and stands for the others, with fewer neighbors "
            "around it than the model was trained with; no hotspot was looked for"
        ]
    if choices.coarse_key:
        return [f"this result takes the place of the coarse one of job {choices.coarse_key}"]
    return []


def _evidence_warnings(expression: ExpressionTable) -> list[str]:
    if not expression.genes:
        return ["no gene of this bundle is supported by held-out evidence; only the tissue is written"]
    if all(gene.status is GeneStatus.EXPLORATORY for gene in expression.genes):
        return ["every map is exploratory: too few patients were kept apart from training to support any gene"]
    return []


def _encoding_warnings(left_out: tuple[str, ...]) -> list[str]:
    if left_out:
        return [f"settings ask to draw {', '.join(left_out)}, of which this result has no map"]
    return []


def _class_warnings(prediction: Prediction) -> list[str]:
    if prediction.tissue_class is None and any(gene.shown for gene in prediction.expression.genes):
        return ["tissue is not classified, held-out tissue does not support it: hotspots are relative to all tissue"]
    return []


def _quality_warnings(usable: np.ndarray[Any, np.dtype[np.bool_]]) -> list[str]:
    n_bad = int((~usable).sum())
    if n_bad == 0:
        return []
    return [f"{n_bad} of {len(usable)} tiles are out of focus or covered by ink; hotspots leave them out"]
