"""pynetdicom, which this package hardens by subclassing: which release, and how it is set.

The subclasses override names that pynetdicom does not promise to keep; `PRIVATE_NAMES` lists them, a contract test
holds them against the installed release, and no other minor release is started with.
"""

import logging
import warnings
from importlib.metadata import version
from typing import Final

from pynetdicom import _config

from vst_dicom.domain.errors import UsageError

_RELEASE: Final = (3, 0)

PRIVATE_NAMES: Final = (
    "pynetdicom.acse:ACSE.send_reject",
    "pynetdicom.association:Association._accepted_cx",
    "pynetdicom.association:Association._kill",
    "pynetdicom.association:Association._run_reactor",
    "pynetdicom.association:Association._serve_request",
    "pynetdicom.association:Association._server",
    "pynetdicom.dimse:DIMSEServiceProvider.receive_primitive",
    "pynetdicom.dimse_messages:DIMSEMessage.message_to_primitive",
    "pynetdicom.dul:DULServiceProvider._decode_pdu",
    "pynetdicom.dul:DULServiceProvider._idle_timer",
    "pynetdicom.dul:DULServiceProvider._is_transport_event",
    "pynetdicom.dul:DULServiceProvider._kill_thread",
    "pynetdicom.dul:DULServiceProvider._read_pdu_data",
    "pynetdicom.dul:DULServiceProvider._recv_pdu",
    "pynetdicom.dul:DULServiceProvider._run_loop_delay",
    "pynetdicom.transport:ThreadedAssociationServer.process_request_thread",
    "pynetdicom.transport:AssociationSocket._is_connected",
    "pynetdicom.transport:AssociationSocket._shutdown_socket",
    "pynetdicom.transport:RequestHandler._create_association",
)
"""Module, class and attribute that the subclasses override or use."""


def check_library() -> None:
    """Refuse a pynetdicom that this package was not tried with.

    Raises
    ------
    UsageError
        If its release is not 3.0.
    """
    installed = version("pynetdicom")
    if tuple(int(part) for part in installed.split(".")[:2]) != _RELEASE:
        msg = f"the receiver needs pynetdicom 3.0, not {installed}; run: pip install 'pynetdicom>=3.0.4,<3.1'"
        raise UsageError(msg)


def set_up_library() -> None:
    """Check the release, and set what concerns the whole process: streaming to files, and no data sets in logs."""
    check_library()
    _config.STORE_RECV_CHUNKED_DATASET = True
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    warnings.filterwarnings("ignore", module="pydicom")  # they quote values
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
