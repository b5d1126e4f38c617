"""Which Parametric Maps a result becomes: one series per layer, more where channels stand alone or do not fit."""

from dataclasses import replace
from functools import partial
from typing import Final

from vst_dicom.dicom.codes import MAX_LONG_STRING
from vst_dicom.dicom.source import SourceSlide
from vst_dicom.domain.forms import Encoding, MapLayer
from vst_dicom.domain.result import SlideResult
from vst_dicom.encode.map_check import check_parametric_map
from vst_dicom.encode.map_layers import Layer, MapSeries, expression_layer, further_layer
from vst_dicom.encode.map_object import encode_parametric_map, transfer_syntax
from vst_dicom.encode.map_size import count_channels_that_fit, predict_size
from vst_dicom.encode.objects import ResultObject
from vst_dicom.encode.provenance import PARAMETRIC_MAP, require_shown_genes

_SUFFIX: Final = ", Research Use Only"


def parametric_map_objects(source: SourceSlide, result: SlideResult, encoding: Encoding) -> list[ResultObject]:
    """Parametric Maps of a result, each in a series of its own; none where no gene is shown.

    Raises
    ------
    ValueError
        If a gene or signature that may not be shown has values.
    UsageError
        If a map of one channel would be larger than objects may be.
    """
    if not result.expression.genes:
        return []
    require_shown_genes(result)
    layers = [expression_layer(result)]
    layers += [
        layer for wanted in MapLayer if wanted in encoding.map_layers and (layer := further_layer(wanted, result))
    ]
    return [
        ResultObject(
            series.kind,
            partial(encode_parametric_map, source, result, series, encoding),
            partial(check_parametric_map, source=source, result=result, shown=series),
            series.genes,
            transfer_syntax(encoding),
        )
        for layer in layers
        for series in _split(layer, _most_channels(source, result, layer, encoding))
    ]


def _most_channels(source: SourceSlide, result: SlideResult, layer: Layer, encoding: Encoding) -> int:
    """How many channels of a layer may share a series."""
    fitting = count_channels_that_fit(predict_size(source, result, layer, encoding), layer, encoding)
    return 1 if encoding.map_series_per_gene else fitting


def _split(layer: Layer, most: int) -> list[MapSeries]:
    kind = replace(
        PARAMETRIC_MAP, name=layer.name, series_number=layer.series_number, series_description=_describe(layer.title)
    )
    n_channels = len(layer.channels)
    if n_channels <= most:
        return [MapSeries(kind, layer.channels, layer.values, layer.note, layer.genes)]
    n_parts = -(-n_channels // most)
    series = []
    for part in range(1, n_parts + 1):
        columns = slice((part - 1) * most, part * most)
        channels = layer.channels[columns]
        description = (
            _describe(channels[0].title) if most == 1 else _describe(layer.title, f", part {part} of {n_parts}")
        )
        kind_of_part = replace(
            kind,
            name=f"{layer.name}-{part}",
            series_number=1000 * layer.series_number + part,
            series_description=description,
        )
        series.append(MapSeries(kind_of_part, channels, layer.values[:, columns], layer.note, layer.genes[columns]))
    return series


def _describe(title: str, part: str = "") -> str:
    """Series Description (0008,103E); a long title is cut, never what follows it."""
    end = f"{part}{_SUFFIX}"
    return title[: MAX_LONG_STRING - len(end)] + end
