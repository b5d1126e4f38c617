"""What one peer can ask of the listener at most."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the listener; each one that is passed ends the connection or is answered with a status.

    Parameters
    ----------
    maximum_pdu_bytes
        Length of a P-DATA-TF PDU, as negotiated (PS3.8 D.1); a longer one is aborted.
    connections, connections_per_address
        Open connections in all and from one address; one more is closed before it gets a thread.
    associations
        Established associations; one more is rejected as transient (RJ 2/3/2).
    backlog
        Connections that the system keeps for us until they are accepted.
    handshake_s
        For the TLS handshake.
    request_s
        From the connection to the whole A-ASSOCIATE-RQ.
    idle_s
        Between two PDUs.
    pdu_base_s, pdu_bytes_per_s
        For one PDU from its first byte: the base, and what its length takes at this rate.
    instance_bytes, association_bytes
        Of data sets; a C-STORE beyond is read, thrown away and answered 0xA700.
    request_bytes
        Length of an A-ASSOCIATE-RQ.
    command_bytes, data_set_bytes
        Length of a command set, and of a data set that is not stored (such as the information of an event).
    waiting_messages
        Messages read ahead while an earlier one is worked on; then the connection is not read.
    fast_path
        Whether data sets of a C-STORE go from the socket to the file without the state machine.
    """

    maximum_pdu_bytes: int = 131_072
    connections: int = 64
    connections_per_address: int = 32
    associations: int = 32
    backlog: int = 256
    handshake_s: float = 5.0
    request_s: float = 10.0
    idle_s: float = 60.0
    pdu_base_s: float = 5.0
    pdu_bytes_per_s: int = 65_536
    instance_bytes: int = 20 << 30
    association_bytes: int = 200 << 30
    request_bytes: int = 512 << 10
    command_bytes: int = 8 << 10
    data_set_bytes: int = 256 << 10
    waiting_messages: int = 8
    fast_path: bool = True

    @property
    def pdu_s(self) -> float:
        """Time for one PDU of the greatest length."""
        return self.pdu_base_s + self.maximum_pdu_bytes / self.pdu_bytes_per_s
