"""What the subclasses take for granted of pynetdicom; a new release must pass this before the pin moves."""

import importlib
import inspect

import pytest
from pynetdicom import AE, _config
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.transport import ThreadedAssociationServer

from vst_dicom.domain.errors import UsageError
from vst_dicom.receive import library
from vst_dicom.receive.library import PRIVATE_NAMES, check_library, set_up_library


@pytest.mark.parametrize("release", ["2.1.1", "3.1.0", "4.0.0"])
def test_another_release_is_refused_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    monkeypatch.setattr(library, "version", lambda _: release)
    with pytest.raises(UsageError, match=r"pip install 'pynetdicom>=3\.0\.4,<3\.1'"):
        check_library()


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_the_installed_release_has_the_private_names(name: str) -> None:
    module, _, path = name.partition(":")
    owner, attribute = path.split(".")
    kind = getattr(importlib.import_module(module), owner)
    assert hasattr(kind, attribute) or f"self.{attribute}" in inspect.getsource(kind)


def test_data_sets_stream_to_files_and_never_into_logs() -> None:
    set_up_library()

    assert _config.STORE_RECV_CHUNKED_DATASET
    assert _config.LOG_HANDLER_LEVEL == "none"
    assert not _config.LOG_REQUEST_IDENTIFIERS
    assert not _config.LOG_RESPONSE_IDENTIFIERS


def test_the_reactors_ask_where_the_subclasses_answer() -> None:
    assert "self._is_transport_event()" in inspect.getsource(DULServiceProvider.run_reactor)
    assert "time.sleep(self._run_loop_delay)" in inspect.getsource(DULServiceProvider.run_reactor)
    assert "self._run_reactor()" in inspect.getsource(Association.run_reactor)
    assert "EVT_REQUESTED" in inspect.getsource(Association.run_reactor)
    assert "self.finish_request" in inspect.getsource(ThreadedAssociationServer.process_request_thread)
    assert list(inspect.signature(DIMSEServiceProvider.receive_primitive).parameters) == ["self", "primitive"]


def test_the_state_machine_aborts_on_an_invalid_pdu_and_ends_on_a_closed_connection() -> None:
    assert TRANSITION_TABLE["Evt19", "Sta2"] == "AA-1"
    assert TRANSITION_TABLE["Evt19", "Sta6"] == "AA-8"
    assert TRANSITION_TABLE["Evt17", "Sta6"] == "AA-4"
    assert TRANSITION_TABLE["Evt17", "Sta13"] == "AR-5"


def test_an_association_can_be_given_other_providers() -> None:
    association = Association(AE(), MODE_ACCEPTOR)
    association.dul, association.dimse = DULServiceProvider(association), DIMSEServiceProvider(association)
    assert association.acse.dul is association.dul
    assert association.dimse.dul is association.dul
