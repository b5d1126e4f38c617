"""What is open at the moment, and whether there is room for more."""

import threading
from collections import Counter

from vst_dicom.receive.association import BoundedAssociation
from vst_dicom.receive.limits import Limits


class Gate:
    """Counts connections and associations.

    Parameters
    ----------
    limits
        How many of each there may be.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._addresses: Counter[str] = Counter()
        self._associations: set[BoundedAssociation] = set()
        self._admitted: set[BoundedAssociation] = set()

    @property
    def n_open(self) -> int:
        """How many connections are open."""
        return self._addresses.total()

    def enter(self, address: str) -> bool:
        """Count a connection, if there is room."""
        with self._changed:
            full = self.n_open >= self._limits.connections
            if full or self._addresses[address] >= self._limits.connections_per_address:
                return False
            self._addresses[address] += 1
            return True

    def leave(self, address: str, association: BoundedAssociation | None = None) -> None:
        """Count a connection no more."""
        with self._changed:
            if association is not None:
                self._associations.discard(association)
                self._admitted.discard(association)
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
            self._changed.notify_all()

    def add(self, association: BoundedAssociation) -> None:
        """Know who uses a connection."""
        with self._changed:
            self._associations.add(association)

    def admit(self, association: BoundedAssociation) -> bool:
        """Count an association that is to be accepted, if there is room."""
        with self._changed:
            if len(self._admitted) >= self._limits.associations:
                return False
            self._admitted.add(association)
            return True

    def associations(self) -> list[BoundedAssociation]:
        """List all, accepted or not."""
        with self._changed:
            return list(self._associations)

    def wait_for_change(self, timeout_s: float) -> None:
        """Wait until a connection ends."""
        with self._changed:
            self._changed.wait(timeout_s)
