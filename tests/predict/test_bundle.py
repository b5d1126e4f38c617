import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.predict.bundles import head_tensors, read_manifest, replace_file, rewrite_manifest, write_bundle
from vst_dicom.domain.errors import BundleError
from vst_dicom.predict import bundle as bundle_module
from vst_dicom.predict.bundle import DEFAULT_BUNDLE, list_bundles, load_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny")


def test_a_whole_bundle_loads_with_its_identity_and_genes(folder: Path) -> None:
    loaded = load_bundle(folder)

    assert loaded.identity.bundle_id == "tiny"
    assert loaded.identity.sha256 == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert [gene.gene.symbol for gene in loaded.genes] == ["ERBB2", "IGKC"]
    assert [gene.shown for gene in loaded.genes] == [True, False]
    assert loaded.head.n_genes == 2


def test_the_built_in_bundle_is_whole_and_is_the_default() -> None:
    loaded = load_bundle()

    assert loaded.identity.bundle_id == DEFAULT_BUNDLE
    assert len(loaded.genes) == 250
    assert "SUPPORTED" not in {gene.status.name for gene in loaded.genes}
    assert "demonstration" in loaded.card


@pytest.mark.parametrize("name", ["encoder.safetensors", "head.safetensors", "card.md", "evidence.json"])
def test_one_changed_byte_in_any_file_is_refused_by_its_hash(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(BundleError, match=rf"{name} in bundle tiny has SHA-256"):
        load_bundle(folder)


def test_hashes_are_checked_before_any_tensor_is_parsed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "encoder.safetensors").write_bytes(b"changed")
    monkeypatch.setattr(safetensors.numpy, "load", lambda _: pytest.fail("parsed"))

    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["encoder.safetensors", "head.safetensors", "card.md", "evidence.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(BundleError, match=f"has no {name}"):
        load_bundle(folder)


def test_an_unknown_key_is_refused_by_name(folder: Path) -> None:
    value = read_manifest(folder)
    value["encoder"]["temperature"] = 1
    rewrite_manifest(folder, value)

    with pytest.raises(BundleError, match=r"encoder\.temperature"):
        load_bundle(folder)


def test_a_missing_key_is_refused_by_name(folder: Path) -> None:
    value = read_manifest(folder)
    del value["target"]["unit"]
    rewrite_manifest(folder, value)

    with pytest.raises(BundleError, match=r"target\.unit"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("schema",), "vst-bundle/2", "schema"),
        (("intended_use",), "Diagnosis", "intended_use"),
        (("target", "unit"), "counts", "target.unit"),
        (("head", "type"), "pickle", "head: Input tag 'pickle'"),
        (("id",), "../tiny", "id"),
        (("encoder", "std"), [0.5, 0.0, 0.5], "encoder.std"),
        (("encoder", "spacing_um_range"), [0.6, 1.0], "spacing_um_range"),
    ],
)
def test_a_wrong_value_is_refused_by_name(folder: Path, path: tuple[str, ...], value: object, named: str) -> None:
    whole = read_manifest(folder)
    part = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    rewrite_manifest(folder, whole)

    with pytest.raises(BundleError, match=named):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/weights.safetensors", "weights.pkl"])
def test_a_file_outside_the_known_ones_is_refused(folder: Path, name: str) -> None:
    value = read_manifest(folder)
    value["files"][name] = "0" * 64
    rewrite_manifest(folder, value)

    with pytest.raises(BundleError, match="is not a file of a bundle"):
        load_bundle(folder)


def test_a_link_that_leaves_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    (folder / "card.md").rename(outside)
    (folder / "card.md").symlink_to(outside)

    with pytest.raises(BundleError, match="link or leaves the folder"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["encoder.safetensors", "head.safetensors"])
@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_pickle_under_a_safetensors_name_is_never_loaded(folder: Path, name: str, form: str) -> None:
    marker = folder.parent / "ran"

    class Trap:
        def __reduce__(self) -> object:
            return (marker.touch, ())

    packed = io.BytesIO()
    if form == "pickle":
        pickle.dump(Trap(), packed)
    else:
        torch.save({"trap": Trap()}, packed)
    replace_file(folder, name, packed.getvalue())

    with pytest.raises(BundleError, match=f"{name} is a pickled PyTorch file, which is never loaded"):
        load_bundle(folder)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff" * 8 + b"{}"])
def test_bytes_that_are_no_safetensors_are_refused(folder: Path, content: bytes) -> None:
    replace_file(folder, "head.safetensors", content)

    with pytest.raises(BundleError, match="not a safetensors file"):
        load_bundle(folder)


def test_a_head_of_another_shape_than_the_manifest_says_is_refused(folder: Path) -> None:
    tensors = head_tensors()
    tensors["coefficients"] = np.zeros((3, 5), dtype=np.float32)
    tensors["intercept"] = np.zeros(5, dtype=np.float32)
    replace_file(folder, "head.safetensors", safetensors.numpy.save(tensors))

    with pytest.raises(BundleError, match="does not fit the manifest"):
        load_bundle(folder)


def test_a_head_whose_parts_do_not_fit_each_other_is_refused(folder: Path) -> None:
    tensors = head_tensors()
    tensors["mean"] = np.zeros(7, dtype=np.float32)
    replace_file(folder, "head.safetensors", safetensors.numpy.save(tensors))

    with pytest.raises(BundleError, match="do not fit each other"):
        load_bundle(folder)


def test_a_head_with_a_number_that_is_not_finite_is_refused(folder: Path) -> None:
    tensors = head_tensors()
    tensors["intercept"][0] = np.nan
    replace_file(folder, "head.safetensors", safetensors.numpy.save(tensors))

    with pytest.raises(BundleError, match="not finite"):
        load_bundle(folder)


def test_a_tensor_that_is_not_float32_is_refused(folder: Path) -> None:
    tensors = head_tensors()
    tensors["mean"] = tensors["mean"].astype(np.float64)
    replace_file(folder, "head.safetensors", safetensors.numpy.save(tensors))

    with pytest.raises(BundleError, match="mean is float64"):
        load_bundle(folder)


def test_an_extra_tensor_in_the_head_is_refused(folder: Path) -> None:
    replace_file(
        folder, "head.safetensors", safetensors.numpy.save({**head_tensors(), "more": np.zeros(1, np.float32)})
    )

    with pytest.raises(BundleError, match="must hold"):
        load_bundle(folder)


def test_a_file_over_its_limit_is_refused_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundle_module._LIMITS_BYTES, "card.md", 3)

    with pytest.raises(BundleError, match=r"card\.md in bundle tiny is larger than 3 bytes"):
        load_bundle(folder)


def test_a_bundle_is_found_by_id_in_a_further_folder(folder: Path) -> None:
    assert load_bundle("tiny", [folder.parent]).folder == folder


def test_an_unknown_id_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle 'nothing'.*her2st-lite, tiny"):
        load_bundle("nothing", [folder.parent])


def test_a_folder_without_a_manifest_is_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        load_bundle(tmp_path)


def test_listing_shows_a_broken_bundle_with_its_problem(folder: Path) -> None:
    rewrite_manifest(folder, {"schema": "vst-bundle/1"})

    listed = list_bundles([folder.parent])

    assert [entry.problem != "" for entry in listed if entry.path == folder] == [True]


TRUST_PARTS = {
    "uncertainty": {
        "coverage": 0.9,
        "quantile": 1.6,
        "unit": "patient",
        "n_units": 8,
        "most_promised": 0.8889,
        "held_out_coverage": 0.9,
        "by_unit": {"P": 0.9},
    },
}


def add_trust(folder: Path, tensors: dict[str, np.ndarray], parts: dict[str, object]) -> None:
    value = read_manifest(folder) | parts
    value["files"]["trust.safetensors"] = "0" * 64
    rewrite_manifest(folder, value)
    replace_file(folder, "trust.safetensors", safetensors.numpy.save(tensors))


def test_a_bundle_may_state_its_limits(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "tiny")
    add_trust(folder, {"residual_sd": np.array([0.5, 1], np.float32)}, TRUST_PARTS)

    bundle = load_bundle(folder)

    assert bundle.trust.familiarity is None
    assert bundle.trust.intervals is not None
    assert bundle.trust.intervals.quantile == 1.6


def test_an_older_bundle_states_none(tmp_path: Path) -> None:
    trust = load_bundle(write_bundle(tmp_path / "tiny")).trust

    assert (trust.familiarity, trust.intervals) == (None, None)


def test_limits_for_other_genes_are_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "tiny")
    add_trust(folder, {"residual_sd": np.ones(3, np.float32)}, TRUST_PARTS)

    with pytest.raises(BundleError, match="3 genes, the manifest 2"):
        load_bundle(folder)


def test_a_file_of_limits_without_its_part_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "tiny")
    add_trust(folder, {"residual_sd": np.ones(2, np.float32)}, {})

    with pytest.raises(BundleError, match="go together"):
        load_bundle(folder)
