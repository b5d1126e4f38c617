"""Write findings.md, the table of accepted findings for people: ``python -m conformance.write_findings``."""

from pathlib import Path
from typing import Final

from vst_dicom.encode.validation import AcceptedFinding, accepted_findings

TARGET: Final = Path(__file__).parent / "findings.md"

_HEAD: Final = """# Accepted findings

Made from `vst_dicom/encode/accepted_findings.toml` by `python -m conformance.write_findings`; a test compares both.
A finding that is not listed fails the tests, and so does an entry that never occurs. Patterns are regular expressions,
found in the validator's words without indices of items.
"""


def render() -> str:
    """Write the table, program by program, in the order of the file."""
    programs = dict.fromkeys(known.program for known in accepted_findings())
    return "\n".join([_HEAD, *(_section(program) for program in programs)])


def _section(program: str) -> str:
    rows = [_row(known) for known in accepted_findings() if known.program == program]
    return "\n".join(
        [f"## {program}", "", "| finding | objects | why it is accepted | standard |", "|---|---|---|---|", *rows, ""]
    )


def _row(known: AcceptedFinding) -> str:
    message = known.message.pattern.replace("|", "\\|")
    objects = ", ".join(known.objects) or "all"
    return f"| `{message}` | {objects} | {known.reason} | {known.reference} |"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
