"""Serve a web viewer and a DICOMweb service from one origin, to this machine only; see the README of each viewer.

Needs nginx and npm. The viewer's packages come from the npm registry once, in the version and with the checksum that
stand in the viewer's ``viewer.json``, and stay in the user's cache folder.
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from string import Template
from typing import Any, NoReturn
from urllib.parse import urlsplit

_HERE = Path(__file__).resolve().parent
_FETCH_S = 600
_TLS = (
    "proxy_ssl_server_name on; proxy_ssl_verify on; proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;"
)
_ADDRESS = "127.0.0.1"  # nobody logs in here, so nobody else may ask


def main() -> None:
    """Fetch what is missing, start nginx, and stop it when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("viewer", help=argparse.SUPPRESS, type=Path)
    parser.add_argument("--dicomweb", required=True, help="DICOMweb service, such as http://127.0.0.1:8042/dicom-web")
    parser.add_argument("--port", type=int, default=3000, help="where the viewer is served (default: 3000)")
    parser.add_argument("--name", action="append", default=[], help="host name of a proxy with login in front of this")
    parser.add_argument("--build", type=Path, help="folder with a built viewer, where npm has none")
    options = parser.parse_args()
    _require("nginx", "nginx-light")
    facts = json.loads((options.viewer / "viewer.json").read_text(encoding="utf-8"))
    if options.build is None and not facts["packages"]:
        _fail(f"{facts['name']} is not on npm: build it as the README says, then add --build FOLDER")
    service = urlsplit(options.dicomweb.rstrip("/"))
    if service.scheme not in {"http", "https"} or not service.netloc or len(service.path) < 2:
        _fail(f"{options.dicomweb} is not the address of a DICOMweb service, such as http://127.0.0.1:8042/dicom-web")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="vst-dicom-viewer-") as name:
        folder = Path(name)
        mounts = [("/", options.build.resolve())] if options.build else _mounts(facts["packages"])
        _write_site(options.viewer / "site", folder / "site", service.path)
        _write_configuration(folder, mounts, service.scheme, service.netloc, service.path, options)
        _serve(folder, f"{facts['name']}: http://{_ADDRESS}:{options.port}{facts['open']}")


def _mounts(packages: list[dict[str, Any]]) -> list[tuple[str, Path]]:
    """Where each folder of each package is served."""
    return [(place, _fetch(package) / folder) for package in packages for place, folder in package["served"].items()]


def _fetch(package: dict[str, Any]) -> Path:
    """Folder of an npm package, fetched and checked when it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vst_dicom" / "viewers"
    name = f"{package['name']}@{package['version']}"
    target = cache / name.replace("@", "").replace("/", "-")
    if target.is_dir():
        return target
    _require("npm", "npm")
    cache.mkdir(parents=True, exist_ok=True)
    _say(f"Fetching {name} from the npm registry")
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        command = ["npm", "pack", name, "--pack-destination", temporary, "--silent"]
        run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_FETCH_S)  # noqa: S603
        archives = list(Path(temporary).glob("*.tgz"))
        if run.returncode or len(archives) != 1:
            _fail(f"npm could not fetch {name}; is its registry reachable?\n{run.stderr.strip()}")
        digest = hashlib.sha512(archives[0].read_bytes()).digest()
        if f"sha512-{base64.b64encode(digest).decode()}" != package["integrity"]:
            _fail(f"{name} is not what it was when this was written: its checksum differs. Nothing was installed.")
        unpack = ["tar", "-xzf", str(archives[0]), "-C", temporary, "--no-same-owner", "--exclude=*.map"]
        subprocess.run(unpack, check=True)  # noqa: S603
        try:
            (Path(temporary) / "package").rename(target)
        except OSError:  # another start was faster
            if not target.is_dir():
                raise
    return target


def _write_site(source: Path, target: Path, dicomweb_path: str) -> None:
    """Copy our own files; they go before those of the package."""
    shutil.copytree(source, target)
    for file in target.rglob("*"):
        if file.suffix in {".js", ".html"}:
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace("@DICOMWEB_PATH@", dicomweb_path), encoding="utf-8")


def _write_configuration(
    folder: Path, mounts: list[tuple[str, Path]], scheme: str, netloc: str, path: str, options: argparse.Namespace
) -> None:
    """Fill in ``nginx.conf.in``."""
    roots = dict(mounts)
    package = roots.pop("/", folder / "site")
    names = {"localhost", _ADDRESS, *options.name}
    text = Template((_HERE / "nginx.conf.in").read_text(encoding="utf-8")).substitute(
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        site=folder / "site",
        package=package,
        address=_ADDRESS,
        port=options.port,
        names=" ".join(sorted(names)),
        upstream=f"{scheme}://{netloc}",
        tls=_TLS if scheme == "https" else "",
        dicomweb_path=path,
        mounts="".join(f"    location ^~ {place} {{ alias {root}/; }}\n" for place, root in roots.items()),
    )
    (folder / "nginx.conf").write_text(text, encoding="utf-8")


def _serve(folder: Path, greeting: str) -> None:
    """Run nginx until this program is told to stop, or nginx ends by itself."""
    nginx = shutil.which("nginx", path=_path()) or "nginx"
    command = [nginx, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(command)  # noqa: S603
    try:
        _say(f"{greeting}\nFor Research Use Only. Not for use in diagnostic procedures. Stop with Ctrl+C.")
        if process.wait():
            _fail("nginx did not start; its reason stands above")
    except KeyboardInterrupt:
        pass
    finally:
        process.terminate()
        process.wait()


def _require(program: str, package: str) -> None:
    if shutil.which(program, path=_path()) is None:
        _fail(f"{program} is not installed; on Debian: apt install {package}")


def _path() -> str:
    """Debian keeps nginx where only root's path leads."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fail(text: str) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
