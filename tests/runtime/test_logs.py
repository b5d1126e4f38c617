import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from vst_dicom.runtime.logs import configure_logs
configure_logs("receiver")
log = structlog.get_logger()
log.info("instance stored", sop_instance_uid="1.2.3")
logging.getLogger("pydicom").warning("Invalid value for VR PN: %r", "DOE^JANE")
logging.getLogger("dbos").warning("Queue is locked")
try:
    raise ValueError("DOE^JANE")
except ValueError:
    log.exception("slide broke")
    logging.getLogger("anything").exception("DOE^JANE")
    logging.getLogger("dbos").exception("DOE^JANE")
"""


def run() -> list[dict[str, str]]:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert "DOE" not in found.stderr
    return [json.loads(line) for line in found.stderr.splitlines()]


def test_every_line_is_json_that_quotes_no_header_value() -> None:
    lines = run()

    assert [line["event"] for line in lines] == [
        "instance stored",
        "message of a library",
        "message of a library",
        "slide broke",
        "message of a library",
        "message of a library",
    ]
    assert {line["role"] for line in lines} == {"receiver"}


def test_facts_stand_beside_the_message() -> None:
    stored, pydicom, dbos, broke, *_ = run()

    assert stored["sop_instance_uid"] == "1.2.3"
    assert (pydicom["library"], "text" in pydicom) == ("pydicom", False)
    assert dbos["text"] == "Queue is locked"
    assert broke["exception"] == "ValueError"
