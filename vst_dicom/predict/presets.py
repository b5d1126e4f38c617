"""Published encoders of pathology whose architecture, pixels, pooling and licence are known here.

Each architecture was compared with the published number of parameters. Where a fact could not be read, `Preset.facts`
says "unverified".
"""

from dataclasses import dataclass
from typing import Final, Literal

from vst_dicom.domain.errors import UsageError
from vst_dicom.predict.encoders import EFFICIENTNET_LITE0
from vst_dicom.predict.manifest_model import Encoder, EncoderTerm, Rgb

_IMAGENET: Final[tuple[Rgb, Rgb]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_BIOPTIMUS: Final[tuple[Rgb, Rgb]] = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
_HALF: Final[tuple[Rgb, Rgb]] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and standard deviation per color."""

_ACADEMIC: Final[tuple[EncoderTerm, ...]] = ("gated", "non-commercial", "no-derivatives", "no-sharing")
"""CC BY-NC-ND 4.0 with the clause that models trained on outputs are derivatives, and that copies are not passed on."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A published encoder.

    Parameters
    ----------
    encoder
        What a bundle says about it.
    file
        The published file; a ``.bin`` must be converted to safetensors first.
    n_parameters
        Published number of parameters.
    facts
        Where its facts were read, and which could not be verified.
    from_file
        Arguments that are read from the shapes in the weights, because they could not be verified.
    """

    encoder: Encoder
    file: str
    n_parameters: int
    facts: str
    from_file: tuple[Literal["n_registers", "positions"], ...] = ()


def _vit(
    name: str,
    repository: str,
    license_: str,
    terms: tuple[EncoderTerm, ...],
    pooling: Literal["class", "class+mean"],
    colors: tuple[Rgb, Rgb],
    width: int,
    **arguments: bool | int | float | str,
) -> Encoder:
    """Say what bundles of a vision transformer have in common: tiles of 112 µm, 224 px."""
    return EFFICIENTNET_LITE0.model_copy(
        update={
            "name": name,
            "license": license_,
            "source": f"huggingface.co/{repository}",
            "embed_dim": 2 * width if pooling == "class+mean" else width,
            "mean": colors[0],
            "std": colors[1],
            "architecture": "vision_transformer",
            "arguments": {"width": width, **arguments},
            "pooling": pooling,
            "terms": terms,
        }
    )


_COUNTS: Final = "number of parameters from a public benchmark's table"

_PRESETS: Final[tuple[Preset, ...]] = (
    Preset(
        EFFICIENTNET_LITE0,
        "in the built-in bundle",
        3_371_008,
        "architecture and weights compared with the published package",
    ),
    Preset(
        _vit("h-optimus-0", "bioptimus/H-optimus-0", "Apache-2.0", (), "class", _BIOPTIMUS, 1536, image_px=224,
             patch_px=14, depth=40, n_heads=24, mlp_dim=8192, gated=True, n_registers=4, positions="patches"),
        "pytorch_model.bin",
        1_134_774_272,
        "bioptimus/releases models/h-optimus/v0/README.md (architecture, mean, std, 224 px at 0.5 µm); licence on the "
        f"repository's page; {_COUNTS}",
    ),
    Preset(
        _vit("midnight-12k", "kaiko-ai/midnight", "MIT", (), "class+mean", _HALF, 1536, image_px=518, patch_px=14,
             depth=40, n_heads=24, mlp_dim=8192, gated=True, positions="class+patches", names="huggingface"),
        "model.safetensors",
        1_136_480_768,
        "kaiko-ai/Midnight README.md (licence, training framework); LazySlide models/vision/midnight.py (mean, std, "
        f"pooling, dimension); {_COUNTS}, from which 518 px follow",
    ),
    Preset(
        _vit("uni", "MahmoodLab/UNI", "CC BY-NC-ND 4.0", _ACADEMIC, "class", _IMAGENET, 1024, image_px=224, patch_px=16,
             depth=24, n_heads=16, mlp_dim=4096),
        "pytorch_model.bin",
        303_350_784,
        f"TRIDENT patch_encoder_models/load.py (architecture, mean, std); licence in UNI's own card; {_COUNTS}",
    ),
    Preset(
        _vit("uni2-h", "MahmoodLab/UNI2-h", "CC BY-NC-ND 4.0", _ACADEMIC, "class", _IMAGENET, 1536, image_px=224,
             patch_px=14, depth=24, n_heads=24, mlp_dim=8192, gated=True, n_registers=8, positions="patches"),
        "pytorch_model.bin",
        681_394_176,
        "TRIDENT patch_encoder_models/load.py (architecture, mean, std); licence in LazySlide models/vision/uni.py; "
        f"that UNI2-h's card carries UNI's clause on derived models is unverified; {_COUNTS}",
    ),
    Preset(
        _vit("virchow2", "paige-ai/Virchow2", "CC BY-NC-ND 4.0", _ACADEMIC, "class+mean", _IMAGENET, 1280, image_px=224,
             patch_px=14, depth=32, n_heads=16, mlp_dim=6832, gated=True, n_registers=4),
        "model.safetensors",
        631_239_424,
        "TRIDENT patch_encoder_models/load.py (architecture, mean, std, pooling); licence in Virchow2's own card; "
        f"{_COUNTS}",
    ),
    Preset(
        _vit("gigapath", "prov-gigapath/prov-gigapath", "Apache-2.0 with conditions", ("gated", "research-only"),
             "class", _IMAGENET, 1536, image_px=224, patch_px=16, depth=40, n_heads=24, mlp_dim=8192, gated=True),
        "pytorch_model.bin",
        1_134_953_984,
        "prov-gigapath/prov-gigapath README.md (mean, std, 224 px, research use, registration); TRIDENT "
        "patch_encoder_models/load.py (architecture); the wording of its licence is unverified, LazySlide "
        f"models/vision/gigapath.py calls it Apache-2.0 with conditions; {_COUNTS}",
    ),
    Preset(
        _vit("phikon-v2", "owkin/phikon-v2", "Owkin non-commercial licence", ("non-commercial",), "class", _IMAGENET,
             1024, image_px=224, patch_px=16, depth=24, n_heads=16, mlp_dim=4096, positions="class+patches",
             names="huggingface"),
        "model.safetensors",
        303_351_808,
        "TRIDENT patch_encoder_models/load.py (mean, std, pooling); LazySlide models/vision/phikon.py (licence, "
        "dimension); what its licence says of derived models is unverified, read its LICENSE.pdf; "
        f"{_COUNTS}, from which 224 px follow",
    ),
    Preset(
        _vit("h0-mini", "bioptimus/H0-mini", "CC BY-NC-ND 4.0", _ACADEMIC, "class+mean", _BIOPTIMUS, 768, image_px=224,
             patch_px=14, depth=12, n_heads=12, mlp_dim=4096, gated=True, n_registers=4, positions="patches"),
        "model.safetensors",
        85_739_520,
        "H0-mini's own card (licence); docs.bioptimus.com sdk-reference/models/types (mean, std, pooling, 1536 "
        "features); LazySlide models/vision/h_optimus.py (gated layers; 85.7 million parameters, from which the width "
        "of the layers follows); four registers without positions are unverified and read from the file",
        from_file=("n_registers", "positions"),
    ),
)  # fmt: skip

PRESETS: Final[dict[str, Preset]] = {preset.encoder.name: preset for preset in _PRESETS}
"""Published encoders by the name that ``--preset`` takes."""


def find_preset(name: str) -> Preset:
    """Find a preset.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in PRESETS:
        msg = f"there is no preset {name!r}; the presets are {', '.join(PRESETS)}"
        raise UsageError(msg)
    return PRESETS[name]
