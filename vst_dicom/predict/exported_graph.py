"""The graph of an encoder as openvino runs it: exported from the torch network once, then kept in the cache folder.

Input: 8-bit pixels, shape ``(n, tile_px, tile_px, 3)``; normalization is part of the graph. Output: features, shape
``(n, embed_dim)``, float32.

The cache holds one file per encoder, settings, library version and `_OUR_VERSION`. Its parts are hashed, and the hashes
stand in its header; a file that is damaged, or was made of something else, is exported anew and replaced. That the
graph computes what was fitted, the reference tile tells every time.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy
import structlog
from numpy.typing import NDArray

from vst_dicom.domain.errors import ResourceError, UsageError
from vst_dicom.files import whole_file
from vst_dicom.predict.frozen_encoder import FrozenEncoder
from vst_dicom.predict.openvino_library import import_openvino, openvino_version

_log = structlog.get_logger(__name__)

_OUR_VERSION: Final = 1
"""Counts changes of what is exported."""

_MOST_BYTES: Final = 2 << 30
"""Larger graphs are exported every time."""

_MOST_FILES: Final = 8
"""Graphs that are kept; the one that was used longest ago goes first."""

_PARTS: Final = ("graph", "weights")


def graph_of(encoder: FrozenEncoder, folder: Path) -> Any:
    """Graph of an encoder, an ``openvino.Model``, from the cache or exported.

    Parameters
    ----------
    encoder
        What it is of; loaded only if the cache does not have it.
    folder
        The cache. A folder that cannot be written to keeps nothing, and that is logged.

    Raises
    ------
    UsageError
        If openvino is not installed, or does not know a part of the network.
    BundleError
        If the weights do not fit the encoder.
    """
    openvino = import_openvino()
    key = _key(encoder)
    path = folder / f"{key[:32]}.graph"
    parts = _read(path, key)
    if parts is None:
        parts = _export(encoder)
        _write(path, parts, key)
    return openvino.Core().read_model(parts["graph"].tobytes(), openvino.Tensor(parts["weights"], shared_memory=False))


def _key(encoder: FrozenEncoder) -> str:
    """Hash of everything that the graph depends on."""
    facts = [encoder.weights_sha256, encoder.spec.model_dump(mode="json"), openvino_version(), _OUR_VERSION]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read(path: Path, key: str) -> dict[str, NDArray[np.uint8]] | None:
    """Parts of a cached graph; None where there is none that can be trusted."""
    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            stated = opened.metadata() or {}
            parts = {part: opened.get_tensor(part) for part in _PARTS}
    except FileNotFoundError:
        return None
    except (OSError, safetensors.SafetensorError) as error:
        _log.warning("cached graph is damaged and made again", file=path.name, problem=type(error).__name__)
        return None
    if stated != _header(parts, key):
        _log.warning("cached graph is not what it says and is made again", file=path.name)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # says that it is in use
    return parts


def _write(path: Path, parts: dict[str, NDArray[np.uint8]], key: str) -> None:
    """Keep a graph, and forget those that were used longest ago."""
    if sum(part.nbytes for part in parts.values()) > _MOST_BYTES:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with whole_file(path) as temporary:
            safetensors.numpy.save_file(parts, temporary, _header(parts, key))
        kept = sorted(path.parent.glob("*.graph"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in kept[_MOST_FILES:]:
            old.unlink(missing_ok=True)
    except (OSError, ResourceError) as error:
        _log.warning("the exported graph cannot be kept; it is made again next time", problem=str(error))


def _header(parts: dict[str, NDArray[np.uint8]], key: str) -> dict[str, str]:
    return {"key": key, **{part: hashlib.sha256(parts[part].tobytes()).hexdigest() for part in _PARTS}}


def _export(encoder: FrozenEncoder) -> dict[str, NDArray[np.uint8]]:
    """Trace the torch network, convert the trace and put the normalization before it."""
    import torch

    openvino = import_openvino()
    from openvino.frontend import (
        FrontEndManager,
        GeneralFailure,
        NotImplementedFailure,
        OpConversionFailure,
        OpValidationFailure,
    )
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from openvino.preprocess import PrePostProcessor

    spec, network = encoder.spec, encoder.load()
    shape = (2, 3, spec.tile_px, spec.tile_px)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer fixes sizes that depend on the tile's side; so they may be
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                network, torch.zeros(shape), check_trace=False
            )
            # The library's own convert_model would do the same and report it to its maker.
            decoder = TorchScriptPythonDecoder(traced)
            frontend = FrontEndManager().load_by_framework("pytorch")
            model = frontend.convert(frontend.load(decoder))
    except (RuntimeError, GeneralFailure, NotImplementedFailure, OpConversionFailure, OpValidationFailure) as error:
        msg = f"openvino cannot take over encoder {spec.name!r}; choose --engine torch"
        raise UsageError(msg) from error
    model.reshape({model.inputs[0]: openvino.PartialShape([-1, *shape[1:]])})
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    colors = steps.input().preprocess().convert_element_type(openvino.Type.f32)
    colors.mean([255 * value for value in spec.mean]).scale([255 * value for value in spec.std])
    model = steps.build()
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "graph.xml"
        openvino.save_model(model, xml, compress_to_fp16=False)
        contents = xml.read_bytes(), xml.with_suffix(".bin").read_bytes()
    return {part: np.frombuffer(content, np.uint8) for part, content in zip(_PARTS, contents, strict=True)}
