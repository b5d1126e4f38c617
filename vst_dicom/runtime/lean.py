"""Keep out of a process what the libraries that it uses would load without need."""

import sys
from types import ModuleType
from typing import Final, cast

NOT_FOR_RECEIVING: Final = ("numpy", "PIL", "requests", "rich")
"""What pydicom and structlog load where it is installed, and do without where it is not: a third of the memory of a
process that writes bytes to the disk."""


def keep_out(libraries: tuple[str, ...]) -> None:
    """Let later imports of libraries fail, as if they were not installed; those already loaded stay."""
    for library in libraries:
        sys.modules.setdefault(library, cast("ModuleType", None))
