"""Headers and hashes of spooled instances, each file read as seldom as possible."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from vst_dicom.domain.errors import InputError, ResourceError
from vst_dicom.ledger.slides import SpooledInstance
from vst_dicom.study.facts import InstanceFacts, read_facts
from vst_dicom.study.header import hash_data_set, read_header

_MOST_REMEMBERED: Final = 20_000


class SpooledHeaders:
    """Reads what the spool holds. A file never changes once it has a row, so facts are remembered.

    Parameters
    ----------
    spool
        The folder.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._facts: OrderedDict[int, InstanceFacts] = OrderedDict()

    def facts(self, instance: SpooledInstance) -> InstanceFacts:
        """Say what a header says; a file that cannot be read becomes a fact too, but is read again the next time."""
        known = self._facts.get(instance.id)
        if known is not None:
            self._facts.move_to_end(instance.id)
            return known
        try:
            facts = read_facts(self.header(instance))
        except (InputError, ResourceError) as error:
            return InstanceFacts(problem=str(error))
        self._facts[instance.id] = facts
        if len(self._facts) > _MOST_REMEMBERED:
            self._facts.popitem(last=False)
        return facts

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
