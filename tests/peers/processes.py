"""Start programs that listen, wait until they do, and stop them."""

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", *, seconds: float = 15.0) -> None:
    """Wait until something listens on a loopback port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            msg = f"{process.args!r} ended with {process.returncode}"
            raise RuntimeError(msg)
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    msg = f"nothing listens on port {port}"
    raise TimeoutError(msg)


@contextmanager
def running(command: Sequence[str], port: int, log: Path, **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that listens on a port."""
    with log.open("ab") as output:
        process = subprocess.Popen(list(command), stdout=output, stderr=output, **options)  # type: ignore[call-overload]
        try:
            wait_for_port(port, process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
