"""Small bundles for tests: a real manifest and head beside any encoder."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from vst_dicom.predict.reference import reference_tile, tile_sha256

EMBED_DIM = 1280
GENES = ("ERBB2", "IGKC")


def gene_entry(symbol: str, status: str = "exploratory") -> dict[str, Any]:
    return {
        "symbol": symbol,
        "hgnc": None,
        "mean": 1.0,
        "sd": 0.5,
        "status": status,
        "reason": "for a test",
        "held_out_r": 0.4,
        "held_out_interval": None,
        "held_out_unit": "section",
        "n_held_out": 4,
        "depth_adjusted_r": 0.3,
        "cell_count_r": 0.1,
        "other_patient_r": None,
    }


def manifest(files: dict[str, str]) -> dict[str, Any]:
    return {
        "schema": "vst-bundle/1",
        "id": "tiny",
        "version": "0.1.0",
        "description": "a bundle for tests",
        "intended_use": "For Research Use Only. Not for use in diagnostic procedures.",
        "files": files,
        "encoder": {
            "name": "efficientnet_lite0",
            "license": "none",
            "source": "random",
            "embed_dim": EMBED_DIM,
            "tile_px": 224,
            "spacing_um": 0.5,
            "spacing_um_range": [0.1, 1.0],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "context": [1, 3],
            "precision": "fp32",
        },
        "reference_embedding": {"tile_sha256": tile_sha256(reference_tile(224)), "cos_min": 0.999},
        "head": {"type": "pca+ridge", "n_components": 3, "alpha": 1.0, "rank": 2, "intercept": True},
        "target": {
            "quantity": "relative mRNA expression",
            "unit": "ln(1+CP10k)",
            "library": "none",
            "spot_um": 100,
            "normalisation": "none",
        },
        "genes": [gene_entry(GENES[0]), gene_entry(GENES[1], "hidden")],
        "training": {
            "cohorts": [
                {
                    "name": "none",
                    "doi": "none",
                    "license": "none",
                    "source": "none",
                    "patients": ["P"],
                    "sections": ["S"],
                    "held_out_patients": [],
                    "n_spots": 1,
                }
            ],
            "protocol": "none",
            "panel": "none",
            "seed": 0,
        },
        "scope": {"organs": ["breast"], "stain": "H&E", "species": "Homo sapiens", "specimen": ["FFPE"]},
        "provenance": {"code_version": "0", "command": "none", "data_sha256": "0" * 64, "built": "2026-01-01"},
    }


def head_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed).standard_normal
    return {
        "mean": draw(2 * EMBED_DIM).astype(np.float32),
        "components": draw((3, 2 * EMBED_DIM)).astype(np.float32) / 100,
        "coefficients": draw((3, 2)).astype(np.float32),
        "intercept": np.array([1.0, 2.0], dtype=np.float32),
        "reference_embedding": np.abs(draw(EMBED_DIM)).astype(np.float32),
    }


def write_bundle(
    folder: Path, head: dict[str, np.ndarray] | None = None, encoder: dict[str, np.ndarray] | None = None
) -> Path:
    """Write a bundle whose hashes are right; by default its encoder is one tensor, which only `load_bundle` takes."""
    folder.mkdir()
    contents = {
        "encoder.safetensors": safetensors.numpy.save(encoder or {"weight": np.zeros(1, dtype=np.float32)}),
        "head.safetensors": safetensors.numpy.save(head or head_tensors()),
        "card.md": b"# card\n",
        "evidence.json": b"{}\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    rewrite_manifest(folder, manifest(hashes))
    return folder


def rewrite_manifest(folder: Path, value: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(value), encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return value


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Put other content into a file, with its hash set right."""
    (folder / name).write_bytes(content)
    value = read_manifest(folder)
    value["files"][name] = hashlib.sha256(content).hexdigest()
    rewrite_manifest(folder, value)
