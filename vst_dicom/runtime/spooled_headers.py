"""Headers and hashes of spooled instances, each file read as seldom as possible."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset

from vst_dicom.domain.errors import InputError, ResourceError
from vst_dicom.ledger.slides import SpooledInstance
from vst_dicom.study.facts import InstanceFacts, read_facts
from vst_dicom.study.header import hash_data_set, read_header


class SpooledHeaders:
    """Reads what the spool holds. A file never changes once it has a row, so its facts are read once.

    Parameters
    ----------
    spool
        The folder.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def facts(self, instance: SpooledInstance) -> InstanceFacts:
        """Say what a header says, from its row where it is known; that a file cannot be read is a fact too."""
        if instance.facts is not None:
            return InstanceFacts.from_json(instance.facts)
        try:
            return read_facts(self.header(instance))
        except (InputError, ResourceError) as error:
            return InstanceFacts(problem=str(error))

    def header(self, instance: SpooledInstance) -> Dataset:
        """Read a header, see `vst_dicom.study.header.read_header`.

        Raises
        ------
        InputError
            If the file is not as it was received.
        ResourceError
            If it cannot be opened.
        """
        with _explaining_failures():
            return read_header(self._spool / instance.file_name)

    def sha256(self, instance: SpooledInstance) -> str:
        """Hash a data set, unless its row has the hash already; raises as `header` does."""
        with _explaining_failures():
            return instance.sha256 or hash_data_set(self._spool / instance.file_name)


@contextmanager
def _explaining_failures() -> Iterator[None]:
    """Say that a file cannot be read, without its path."""
    try:
        yield
    except OSError as error:
        msg = (
            f"its file in the spool cannot be read ({error.strerror or type(error).__name__}); send the instance again"
        )
        raise ResourceError(msg) from error
