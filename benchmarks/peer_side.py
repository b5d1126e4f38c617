"""One peer, in its own process and its own Python: a slide and its tiles in, features and what they cost out.

Started by `benchmarks.peers`. Of this product it uses the network alone, so that both sides run the same one.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.processes import peak_mb

_TILE_PX: Final = 224
_SPACING_UM: Final = 0.5
_BATCH: Final = 32


def main() -> None:
    """``peer_side.py NAME SLIDE TILES WEIGHTS FEATURES``: print what it cost as JSON."""
    name, slide, tiles, weights, features = sys.argv[1:]
    torch.set_num_threads(1)
    _define_missing_operators()
    run = {"tiatoolbox": _tiatoolbox, "lazyslide": _lazyslide}[name]
    given = np.load(tiles)
    work = run(_network(Path(weights)), Path(slide), given["corners_px"], given["mask"], float(given["spacing_um"]))
    wall, cpu = perf_counter(), process_time()
    found, order_px = work()
    wall, cpu = perf_counter() - wall, process_time() - cpu
    np.savez(features, features=found, corners_px=order_px)
    cost = {"cpu_s": cpu, "wall_s": wall, "peak_mb": peak_mb(), "n_tiles": len(found), "version": version(name)}
    print(json.dumps(cost))  # noqa: T201


def _define_missing_operators() -> None:
    """Let torchvision load beside a torch for which its compiled part was not built; nothing here needs that part."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # the definitions live as long as it


def _network(weights: Path) -> torch.nn.Module:
    from safetensors.torch import load_file

    from vst_dicom.predict.efficientnet_lite import EfficientNetLite0

    network = EfficientNetLite0(stages=True)
    network.load_state_dict(load_file(weights), strict=False)
    return network.eval().requires_grad_(False)


def _transform() -> Callable[[Any], torch.Tensor]:
    from torchvision import transforms

    from vst_dicom.predict.efficientnet_lite import PIXEL_MEAN, PIXEL_STD

    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(PIXEL_MEAN, PIXEL_STD)])


_Work = Callable[[], tuple[NDArray[np.float32], NDArray[np.int64]]]


def _tiatoolbox(
    network: torch.nn.Module, slide: Path, _: NDArray[np.int64], mask: NDArray[np.uint8], spacing_um: float
) -> _Work:
    """Extract features by the engine that its documentation shows; tiles are chosen by a mask, one pixel per tile."""
    from tiatoolbox.models.engine.deep_feature_extractor import DeepFeatureExtractor
    from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
    from tiatoolbox.models.models_abc import ModelABC

    transform = _transform()

    class Network(ModelABC):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images)

        @staticmethod
        def preproc(image: NDArray[np.uint8]) -> torch.Tensor:
            return transform(image).permute(1, 2, 0)

        @staticmethod
        def infer_batch(model: torch.nn.Module, batch: torch.Tensor, device: str) -> list[NDArray[np.float32]]:
            images = batch.to(device, torch.float32).permute(0, 3, 1, 2).contiguous()
            with torch.inference_mode():
                return [model(images).cpu().numpy()]

    resolution = {"units": "mpp", "resolution": _SPACING_UM}
    config = IOPatchPredictorConfig(
        input_resolutions=[resolution], patch_input_shape=[_TILE_PX, _TILE_PX], stride_shape=[_TILE_PX, _TILE_PX]
    )

    def work() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        import zarr

        engine = DeepFeatureExtractor(Network(), batch_size=_BATCH, num_workers=0, device="cpu", verbose=False)
        with tempfile.TemporaryDirectory() as folder:
            written = engine.run(
                [slide], masks=[mask], patch_mode=False, ioconfig=config, auto_get_mask=False,
                save_dir=Path(folder) / "out", output_type="zarr", batch_size=_BATCH, device="cpu",
            )  # fmt: skip
            (path,) = written.values() if isinstance(written, dict) else written
            group = zarr.open(str(path), mode="r")
            places = np.asarray(group["coordinates"])[:, :2]
            return np.asarray(group["features"]), np.rint(places * _SPACING_UM / spacing_um).astype(np.int64)

    return work


def _lazyslide(
    network: torch.nn.Module, slide: Path, corners_px: NDArray[np.int64], _: NDArray[np.uint8], spacing_um: float
) -> _Work:
    """Extract features of a table of tiles, as its documentation shows."""
    import lazyslide
    from wsidata import TileSpec, open_wsi
    from wsidata.io import add_tiles

    transform = _transform()

    def work() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        wsi = open_wsi(slide, store=None)
        spec = TileSpec.from_wsidata(wsi, tile_px=_TILE_PX, mpp=_SPACING_UM, slide_mpp=spacing_um)
        add_tiles(wsi, "tiles", corners_px, spec, np.zeros(len(corners_px), dtype=np.int64))
        features = lazyslide.tl.feature_extraction(
            wsi, network, model_name="network", transform=transform, device="cpu", batch_size=_BATCH, num_workers=0,
            pbar=False, return_features=True,
        )  # fmt: skip
        return np.asarray(features), corners_px

    return work


if __name__ == "__main__":
    main()
