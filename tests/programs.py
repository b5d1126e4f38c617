"""What tests need beside Python: Debian programs, and real slides that no repository may hold."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_REQUIRED = bool(os.environ.get("VST_DICOM_REQUIRE_PROGRAMS"))
"""Set in CI, where a missing program is a fault, not a reason to skip."""

_SHARED = os.environ.get("VST_DICOM_SHARED_DATA", "")


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Skip a test where a program is missing, unless it is required."""
    missing = shutil.which(program) is None and not _REQUIRED
    return pytest.mark.skipif(missing, reason=f"needs {program} (Debian package {package})")


needs_dciodvfy = needs("dciodvfy", "dicom3tools")
needs_dcentvfy = needs("dcentvfy", "dicom3tools")
needs_dcmdump = needs("dcmdump", "dcmtk")
needs_shared_data = pytest.mark.skipif(
    not _SHARED, reason="needs real slides: set VST_DICOM_SHARED_DATA to a folder that has them"
)


def shared_data() -> Path:
    """Folder of the real slides."""
    return Path(_SHARED)


def dciodvfy_errors(path: Path) -> list[str]:
    """Errors that the validator prints for one file."""
    run = subprocess.run(
        ["dciodvfy", "-new", str(path)], check=False, capture_output=True, text=True, errors="replace", timeout=60
    )
    return [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]


def dcentvfy_errors(paths: list[Path]) -> list[str]:
    """Errors that the validator of a set of objects prints."""
    run = subprocess.run(
        ["dcentvfy", *map(str, paths)], check=False, capture_output=True, text=True, errors="replace", timeout=60
    )
    return [line for line in (run.stdout + run.stderr).splitlines() if "Error" in line]
