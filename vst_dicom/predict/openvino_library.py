"""Import openvino, where it is installed, without what it tells its maker.

By default the library sends an event to its maker's analytics when it is imported, and another at every conversion,
without asking. It leaves that out where its package ``openvino_telemetry`` cannot be imported; so that is what it
finds in processes of this product.
"""

import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from vst_dicom.domain.errors import UsageError

INSTALL: Final = "pip install 'vst-dicom[openvino]'"

_TELEMETRY: Final = "openvino_telemetry"
_CPU_FACTS: Final = Path("/proc/cpuinfo")
_BF16_FLAGS: Final = {"avx512_bf16", "amx_bf16"}


def has_openvino() -> bool:
    """Whether the library is installed; does not import it."""
    return importlib.util.find_spec("openvino") is not None


def openvino_version() -> str:
    """Version of the installed library, by its metadata."""
    return importlib.metadata.version("openvino")


def import_openvino() -> Any:
    """Import the library; nothing is sent.

    Raises
    ------
    UsageError
        If it is not installed, or does not run here.
    """
    sys.modules.setdefault(_TELEMETRY, cast("ModuleType", None))  # an import of it fails now
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        msg = f"engine openvino cannot be used here ({error}); {INSTALL}, or choose --engine torch"
        raise UsageError(msg) from error


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 by itself; without that it is emulated, and several times slower than fp32."""
    return bool(_BF16_FLAGS & set(_cpu_fact("flags").split()))


def cpu_model() -> str:
    """Name of the processor; empty where the system does not say."""
    return _cpu_fact("model name")


def _cpu_fact(name: str) -> str:
    """Read one line of what Linux says about the first core."""
    try:
        text = _CPU_FACTS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    line = next((line for line in text.splitlines() if line.startswith(name)), "")
    return line.partition(":")[2].strip()
