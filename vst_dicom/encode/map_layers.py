"""What Parametric Maps show: genes, and the layers that were asked for and that the result has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vst_dicom.dicom import codes
from vst_dicom.domain.expression import Gene
from vst_dicom.domain.forms import MapLayer
from vst_dicom.domain.result import SlideResult
from vst_dicom.domain.signature import PanelSignature
from vst_dicom.domain.wording import UNIT
from vst_dicom.encode.provenance import PARAMETRIC_MAP, ResultKind, plain

_MAX_LABEL: Final = 16
"""Longest short string (PS3.5 6.2), such as LUT Label (0040,9210)."""

_RESEARCH: Final = "For Research Use Only."


@dataclass(frozen=True, slots=True)
class Channel:
    """What one frame shows.

    Parameters
    ----------
    label
        LUT Label (0040,9210): at most 16 characters, by which viewers tell channels apart.
    explanation
        LUT Explanation (0028,3003), for people.
    title
        What a series of this channel alone is called.
    unit
        Of its values.
    definition
        Names and values of what the values are, for Quantity Definition Sequence (0040,9220).
    """

    label: str
    explanation: str
    title: str
    unit: codes.Code
    definition: tuple[tuple[codes.Code, codes.Code], ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """Channels that belong together: a series, unless it must be split.

    Parameters
    ----------
    name
        Names its objects in derived UIDs and file names.
    series_number
        Series Number (0020,0011).
    title
        What its series is called.
    channels
        One per column of the values.
    values
        Shape ``(n_tiles, n_channels)``, NaN where there is no value.
    note
        What a reader of the values must know beyond the channels' explanations; may be empty.
    genes
        Symbols of the genes whose expression the channels show, one by one; empty where they show something else.
    """

    name: str
    series_number: int
    title: str
    channels: tuple[Channel, ...]
    values: NDArray[np.float32]
    note: str = ""
    genes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class MapSeries:
    """A Parametric Map, alone in its series.

    Parameters
    ----------
    kind
        Which object of the result.
    channels, values, note, genes
        As of the `Layer`, or some of its channels.
    """

    kind: ResultKind
    channels: tuple[Channel, ...]
    values: NDArray[np.float32]
    note: str = ""
    genes: tuple[str, ...] = ()


def expression_layer(result: SlideResult) -> Layer:
    """Predicted expression of the genes of a result."""
    channels = _gene_channels(
        result,
        suffix="",
        explanation=f"Predicted {UNIT}.",
        title="Predicted {} expression",
        unit=codes.UNIT_OF_EXPRESSION,
        quantity=((codes.QUANTITY, codes.PREDICTED_EXPRESSION),),
    )
    return Layer(
        PARAMETRIC_MAP.name,
        PARAMETRIC_MAP.series_number,
        "Predicted gene expression maps",
        channels,
        result.expression.values,
        genes=tuple(panel_gene.gene.symbol for panel_gene in result.expression.genes),
    )


def further_layer(layer: MapLayer, result: SlideResult) -> Layer | None:
    """Make another layer of a result; None where the result does not have it."""
    return _LAYERS[layer](result)


def _half_width_layer(result: SlideResult) -> Layer | None:
    if result.half_width is None:
        return None
    worth = result.interval_note.partition(":")[0]
    channels = _gene_channels(
        result,
        suffix=" +/-",
        explanation=f"Half width, {worth}." if worth else "Half width of the interval.",
        title="{} interval half width",
        unit=codes.UNIT_OF_EXPRESSION,
        quantity=(
            (codes.QUANTITY, codes.INTERVAL_HALF_WIDTH),
            (codes.DERIVATION, codes.MEASUREMENT_UNCERTAINTY),
        ),
    )
    title = "Half widths of prediction intervals"
    return Layer(_name(MapLayer.HALF_WIDTH), 9011, title, channels, result.half_width, result.interval_note)


def _gi_star_layer(result: SlideResult) -> Layer | None:
    if result.gi_star is None:
        return None
    channels = _gene_channels(
        result,
        suffix=" Gi*",
        explanation="Gi* against similar tissue.",
        title="{} Gi*",
        unit=codes.NO_UNITS,
        quantity=((codes.QUANTITY, codes.LOCAL_GI_STAR), (codes.DERIVATION, codes.Z_SCORE)),
    )
    return Layer(_name(MapLayer.GI_STAR), 9012, "Gi* of predicted expression", channels, result.gi_star)


def _signature_layer(result: SlideResult) -> Layer | None:
    shown = [(score.signature, score.values) for score in result.signatures if score.values is not None]
    hidden = [signature.signature_id for signature, _ in shown if not signature.shown]
    if hidden:
        msg = f"signatures that evidence does not support must not be written: {', '.join(hidden)}"
        raise ValueError(msg)
    if not shown:
        return None
    labels = unique_labels([signature.signature_id for signature, _ in shown])
    channels = tuple(_signature_channel(signature, label) for (signature, _), label in zip(shown, labels, strict=True))
    values = np.stack([values for _, values in shown], axis=1)
    return Layer(_name(MapLayer.SIGNATURES), 9013, "Predicted gene signature scores", channels, values)


def _signature_channel(signature: PanelSignature, label: str) -> Channel:
    return Channel(
        label,
        _explain(f"{signature.coverage}."),
        f"Predicted {signature.name} score",
        codes.score_unit(signature.scoring),
        (
            (codes.QUANTITY, codes.SIGNATURE_SCORE),
            (codes.GENE_SIGNATURE, codes.signature_code(signature)),
            (codes.MEASUREMENT_METHOD, codes.INFERRED_FROM_MORPHOLOGY),
        ),
    )


def _distance_layer(result: SlideResult) -> Layer | None:
    if result.distance is None:
        return None
    title = "Distance to the training tissue"
    definition = ((codes.QUANTITY, codes.TRAINING_DISTANCE),)
    channel = Channel("distance", _explain("Distance to training tissue, limit 1."), title, codes.NO_UNITS, definition)
    return Layer(_name(MapLayer.DISTANCE), 9014, title, (channel,), result.distance[:, None])


_LAYERS: Final[dict[MapLayer, Callable[[SlideResult], Layer | None]]] = {
    MapLayer.HALF_WIDTH: _half_width_layer,
    MapLayer.GI_STAR: _gi_star_layer,
    MapLayer.SIGNATURES: _signature_layer,
    MapLayer.DISTANCE: _distance_layer,
}


def unique_labels(names: list[str], suffix: str = "") -> list[str]:
    """Shorten names, with what shall follow them, to labels of at most 16 characters that differ."""
    labels: list[str] = []
    for name in names:
        label = name[: _MAX_LABEL - len(suffix)] + suffix
        number = 2
        while label in labels:
            end = f"~{number}{suffix}"
            label, number = name[: _MAX_LABEL - len(end)] + end, number + 1
        labels.append(label)
    return labels


def _name(layer: MapLayer) -> str:
    return f"{PARAMETRIC_MAP.name}-{layer.value}"


def _explain(text: str) -> str:
    """Write a LUT Explanation (0028,3003); a long text is cut, never what it is for."""
    return f"{plain(text, codes.MAX_LONG_STRING - len(_RESEARCH) - 1)} {_RESEARCH}"


def _gene_channels(
    result: SlideResult,
    suffix: str,
    explanation: str,
    title: str,
    unit: codes.Code,
    quantity: tuple[tuple[codes.Code, codes.Code], ...],
) -> tuple[Channel, ...]:
    """One channel per gene, its labels the symbols."""
    genes: list[Gene] = [panel_gene.gene for panel_gene in result.expression.genes]
    labels = unique_labels([plain(gene.symbol) for gene in genes], suffix)
    return tuple(
        Channel(
            label,
            _explain(explanation),
            title.format(plain(gene.symbol)),
            unit,
            (
                *quantity,
                (codes.gene_concept(gene), codes.gene_code(gene)),
                (codes.MEASUREMENT_METHOD, codes.INFERRED_FROM_MORPHOLOGY),
            ),
        )
        for gene, label in zip(genes, labels, strict=True)
    )
