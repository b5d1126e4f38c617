"""Files from the npm registry, checked against a hash that stands here.

``python -m tests.page.npm`` puts the published OpenSeadragon in the place of the one in the package; to change its
version, change `OPENSEADRAGON` first.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FETCH_S: Final = 120
PAGE: Final = Path(__file__).parents[2] / "vst_dicom" / "service" / "page"


@dataclass(frozen=True, slots=True)
class Package:
    """A package in a version.

    Parameters
    ----------
    name, version
        As the registry names it.
    integrity
        SHA-512 of its tarball in base64, as the registry states it.
    """

    name: str
    version: str
    integrity: str


OPENSEADRAGON: Final = Package(
    "openseadragon",
    "6.1.1",
    "sha512-g4iKe2q8B642SaBT3+x4ZF3/8b1TxPPydyjmtrOLgDrlYWMKd9ZXM+1Cb/xa9DVySkvs/7l6HR1nHKfD5F3Tsw==",
)
AXE: Final = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)

VENDORED: Final = {
    "build/openseadragon/openseadragon.min.js": "openseadragon.min.js",
    "LICENSE.txt": "openseadragon-license.txt",
}
"""Files of OpenSeadragon and their names in the package."""


def fetch(package: Package) -> Path:
    """Get a package once; returns the folder with its files.

    Raises
    ------
    OSError
        If the registry does not answer.
    ValueError
        If what it sends is something else.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vst_dicom-tests"
    folder = cache / f"{package.name}-{package.version}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        tarball = _download(package, Path(name))
        found = "sha512-" + base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if found != package.integrity:
            msg = f"{package.name} {package.version} has the hash {found}, not {package.integrity}"
            raise ValueError(msg)
        with tarfile.open(tarball) as archive:
            archive.extractall(name, filter="data")
        if not folder.is_dir():
            (Path(name) / "package").rename(folder)
    return folder


def _download(package: Package, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not installed")
    command = [npm, "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_FETCH_S)
    except subprocess.SubprocessError as error:
        raise OSError("the npm registry does not answer") from error
    (tarball,) = folder.glob("*.tgz")
    return tarball


if __name__ == "__main__":
    for source, target in VENDORED.items():
        shutil.copyfile(fetch(OPENSEADRAGON) / source, PAGE / target)
