"""In which forms a result is written, and how."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from enum import StrEnum


class ResultForm(StrEnum):
    """A form in which a result can be written; the value is its name on the command line and in settings."""

    PARAMETRIC_MAP = "pm"
    SEGMENTATION = "seg"
    ANNOTATIONS = "ann"
    REPORT = "sr"
    OVERVIEW = "png"
    GEOJSON = "geojson"
    ANNDATA = "h5ad"


class MapLayer(StrEnum):
    """What Parametric Maps may show besides the values of genes; each is a series of its own."""

    HALF_WIDTH = "half-width"
    """Half width of the prediction interval, gene by gene."""

    GI_STAR = "gi-star"
    """How far a tile's neighborhood stands out from similar tissue, gene by gene."""

    SIGNATURES = "signatures"
    """Scores of the shown signatures."""

    DISTANCE = "distance"
    """How unlike the training tissue a tile is."""


class MapPixels(StrEnum):
    """How Parametric Maps store values."""

    UINT16 = "uint16"
    """With a Real World Value Mapping: what viewers and archives show."""

    FLOAT32 = "float32"
    """As they are: archives may refuse to hand out frames, and viewers may saturate."""


class MapCompression(StrEnum):
    """How Parametric Maps of whole numbers are compressed, always without loss."""

    NONE = "none"
    JPEG_LS = "jpeg-ls"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How forms are written.

    Parameters
    ----------
    map_layers
        What Parametric Maps show besides genes, where the result has it.
    map_series_per_gene
        Whether each gene gets a series of its own, for viewers that know no channels.
    map_pixels, map_compression
        How Parametric Maps store values.
    largest_object_bytes
        Parametric Maps that would be larger are split into several series; what cannot be split is refused.
    colored_genes
        Genes whose tiles are drawn as annotations and as fractional segments; the few with the best evidence if None.
    fractional_segments
        Whether colored genes are also written as a FRACTIONAL Segmentation, which viewers draw on clear glass.
    label_map
        Whether tissue classes are also written as a LABELMAP Segmentation, which no viewer shows yet.
    color_overlay_gene
        Gene to paint over the slide as a whole slide image of its own, for viewers without maps; none if None.
    geojson_genes
        Genes whose values the tiles of GeoJSON carry; all that are shown if None.
    validate
        Whether an independent validator, where one is installed, judges what was written before it may leave.

    Raises
    ------
    ValueError
        If maps of floating point numbers are to be compressed by JPEG-LS, which knows whole numbers only, or objects
        may have no bytes at all.
    """

    map_layers: frozenset[MapLayer] = frozenset({MapLayer.HALF_WIDTH, MapLayer.SIGNATURES, MapLayer.DISTANCE})
    map_series_per_gene: bool = False
    map_pixels: MapPixels = MapPixels.UINT16
    map_compression: MapCompression = MapCompression.NONE
    largest_object_bytes: int = 1 << 30
    colored_genes: tuple[str, ...] | None = None
    fractional_segments: bool = True
    label_map: bool = False
    color_overlay_gene: str | None = None
    geojson_genes: tuple[str, ...] | None = None
    validate: bool = True

    def __post_init__(self) -> None:
        if self.map_pixels is MapPixels.FLOAT32 and self.map_compression is MapCompression.JPEG_LS:
            raise ValueError("JPEG-LS compresses whole numbers only; choose uint16 pixels, or no compression")
        if self.largest_object_bytes < 1:
            msg = f"objects of at most {self.largest_object_bytes} bytes cannot be written; allow more"
            raise ValueError(msg)

    def limited_to(self, symbols: Iterable[str]) -> tuple["Encoding", tuple[str, ...]]:
        """Leave out genes that a result does not have, and say which.

        Settings hold for every bundle of a site, and one bundle does not show the genes of another.
        """
        known = set(symbols)
        asked = (*(self.colored_genes or ()), *(self.geojson_genes or ()), *_one(self.color_overlay_gene))
        encoding = replace(
            self,
            colored_genes=_known(self.colored_genes, known),
            geojson_genes=_known(self.geojson_genes, known),
            color_overlay_gene=self.color_overlay_gene if self.color_overlay_gene in known else None,
        )
        return encoding, tuple(dict.fromkeys(symbol for symbol in asked if symbol not in known))


def _one(symbol: str | None) -> tuple[str, ...]:
    return () if symbol is None else (symbol,)


def _known(symbols: tuple[str, ...] | None, known: Set[str]) -> tuple[str, ...] | None:
    """Keep what is known; None, the default choice, if that is nothing."""
    return tuple(symbol for symbol in symbols or () if symbol in known) or None
