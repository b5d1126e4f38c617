"""The connection to one peer: reads and writes that end, and a bell that ends a wait."""

import contextlib
import os
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from queue import Queue
from time import monotonic
from typing import Any, TypeVar

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

Item = TypeVar("Item")


class RingingQueue(Queue[Item]):
    """A queue that tells somebody of each new item, so that nobody needs to look again and again."""

    def __init__(self, ring: Callable[[], Any]) -> None:
        super().__init__()
        self._ring = ring

    def put(self, item: Item, block: bool = True, timeout: float | None = None) -> None:
        """Put, then ring."""
        super().put(item, block, timeout)
        self._ring()


class Bell:
    """Ends a wait for a socket from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.descriptor, self._write_end = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._write_end, False)

    def ring(self) -> None:
        """End the present wait, or the next one; does nothing once closed."""
        with self._lock:
            if self._write_end >= 0:
                try:
                    os.write(self._write_end, b"\0")
                except BlockingIOError:
                    return  # it rings already

    def silence(self) -> None:
        """Forget all rings so far."""
        try:
            while len(os.read(self.descriptor, 4096)) == 4096:
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the descriptors back; harmless when repeated."""
        with self._lock:
            if self._write_end >= 0:
                os.close(self._write_end)
                os.close(self.descriptor)
                self._write_end = self.descriptor = -1


class PeerSocket(AssociationSocket):
    """A connected socket whose reads and writes end after a time, wherever in a PDU the peer falls silent.

    Parameters
    ----------
    association
        Whose connection it is.
    connected
        The accepted socket, after the TLS handshake.
    deadline_s
        For each read and each write as a whole, not for each byte.
    bell
        Ends a wait.
    """

    def __init__(self, association: Association, connected: socket.socket, deadline_s: float, bell: Bell) -> None:
        super().__init__(association, client_socket=connected)
        self.bell = bell
        self._unread = memoryview(b"")
        self._least_bytes = 1
        self._is_tls = isinstance(connected, ssl.SSLSocket)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.settimeout(None)
        self.deadline_s = 0.0
        self.set_deadline(deadline_s)

    def set_deadline(self, deadline_s: float) -> None:
        """Change the time that each read and each write may take."""
        if deadline_s != self.deadline_s:
            self.deadline_s = deadline_s
            if not self._is_tls:  # the kernel counts the time over a whole read, without another system call
                limit = struct.pack("ll", int(deadline_s), int(deadline_s % 1 * 1e6))
                connected = self._connected()
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def wait(self, timeout_s: float, *, for_peer: bool = True) -> bool:
        """Wait for the peer or the bell, and say whether the peer has something to read.

        Parameters
        ----------
        timeout_s
            At most so long.
        for_peer
            Whether the peer counts; if not, what it sends stays in the network.
        """
        connected = self.socket
        if for_peer and (self._unread or (isinstance(connected, ssl.SSLSocket) and connected.pending())):
            return True
        poll = select.poll()
        poll.register(self.bell.descriptor, select.POLLIN)
        if for_peer and connected is not None and connected.fileno() >= 0:
            poll.register(connected, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(timeout_s * 1000)}
        if self.bell.descriptor in ready:
            self.bell.silence()
            ready.discard(self.bell.descriptor)
        return bool(ready)

    @property
    def has_unread(self) -> bool:
        """Whether bytes were put back."""
        return bool(self._unread)

    def unread(self, data: bytes) -> None:
        """Put bytes back; they are read first."""
        self._unread = memoryview(data + bytes(self._unread))

    def expect(self, least_bytes: int) -> None:
        """Let reads, and `wait`, last until so many bytes came or the time is over; 1 is as usual.

        Without effect over TLS, where a read gives one record at a time.
        """
        if least_bytes != self._least_bytes and not self._is_tls:
            self._least_bytes = least_bytes
            with contextlib.suppress(OSError):  # of a closed connection, which the next read reports
                self._connected().setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least_bytes)

    def read_some(self, view: memoryview, timeout_s: float) -> int:
        """Read what there is; wait if there is nothing, and give 0 if nothing comes in time.

        Raises
        ------
        EOFError
            If the peer has closed the connection.
        """
        if self._unread:
            return self._read_again(view)
        connected = self._connected()
        self.set_deadline(timeout_s)
        if self._is_tls:
            connected.settimeout(timeout_s)
        try:
            n = connected.recv_into(view)
        except (BlockingIOError, TimeoutError):
            return 0
        if n == 0:
            raise EOFError
        return n

    def read_into(self, view: memoryview) -> None:
        """Fill the view.

        Raises
        ------
        TimeoutError
            If that takes longer than the deadline.
        EOFError
            If the peer has closed the connection.
        """
        done = self._read_again(view)
        connected = self._connected()
        due = monotonic() + self.deadline_s
        while done < len(view):
            left_s = due - monotonic()
            if left_s <= 0:
                raise TimeoutError
            if self._is_tls:
                connected.settimeout(left_s)
            try:
                n = connected.recv_into(view[done:], 0, 0 if self._is_tls else socket.MSG_WAITALL)
            except BlockingIOError as error:
                raise TimeoutError from error
            if n == 0:
                raise EOFError
            done += n

    def _read_again(self, view: memoryview) -> int:
        n = min(len(view), len(self._unread))
        view[:n] = self._unread[:n]
        self._unread = self._unread[n:]
        return n

    def send(self, bytestream: bytes) -> None:
        """Send all of it within the deadline, or close the connection."""
        try:
            connected = self._connected()
            if self._is_tls:
                connected.settimeout(self.deadline_s)
            connected.sendall(bytestream)
        except OSError:
            self.event_queue.put("Evt17")  # transport connection closed (PS3.8 9.2.3)

    @property
    def ready(self) -> bool:
        """Whether something can be read at once."""
        return self._is_connected and self.socket is not None and self.wait(0)

    def cut(self) -> None:
        """End the connection from another thread; the one that reads sees its end and closes it."""
        connected = self.socket
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> socket.socket:
        if self.socket is None:
            raise ConnectionError("the connection is closed")
        return self.socket

    def _shutdown_socket(self) -> None:
        """Close, also where the peer has gone and shutting down fails."""
        self.cut()
        if self.socket is not None:
            self.socket.close()
