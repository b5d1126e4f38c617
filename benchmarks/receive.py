"""Receiving: CPU time and memory of the process that receives, against others, and over the number of associations."""

import shutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.instance import write_instance
from benchmarks.measure import ratios
from benchmarks.processes import cpu_seconds, memory_mb
from benchmarks.receivers import MAXIMUM_PDU_BYTES, Receiver, receivers, run_ours, start_sending
from benchmarks.tables import range_text, short, table, times_text

_ASSOCIATIONS: Final = (1, 2, 5, 10, 20)
_SEND_S: Final = 600.0


@dataclass(slots=True)
class Received:
    """What one receiver needed, one value per round.

    Parameters
    ----------
    cpu_s_per_gb
        CPU seconds of its process.
    peak_mb
        Most memory resident in it.
    """

    cpu_s_per_gb: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)


def receive_lines(folder: Path, rounds: int, n_bytes: int = 1 << 30) -> Iterator[str]:
    """Compare receivers: one instance each, in turn.

    Parameters
    ----------
    folder
        For the instance and what is received; about three times its size must be free.
    rounds
        How often each is measured.
    n_bytes
        About the size of the instance.
    """
    found = measure_receivers(folder, list(receivers()), rounds, n_bytes)
    ours = found["ours"].cpu_s_per_gb
    rows = [
        [
            name,
            range_text(each.cpu_s_per_gb),
            short(statistics.median(each.peak_mb)),
            "" if name == "ours" else times_text(ratios(ours, each.cpu_s_per_gb)),
        ]
        for name, each in found.items()
    ]
    yield (
        f"One instance of {n_bytes / 1e9:.2f} GB in frames of 20 kB over loopback, PDUs of {MAXIMUM_PDU_BYTES} bytes; "
        "CPU time and memory of the process that receives."
    )
    yield ""
    yield from table(["receiver", "CPU s per GB, median (range)", "peak memory, MB", "ours / it, median (range)"], rows)
    for name, program in (("storescp +B", "dcmtk"), ("Orthanc", "orthanc")):
        if name not in found:
            yield f"- {name}: not measured: needs the Debian package {program}"


def measure_receivers(folder: Path, among: Sequence[Receiver], rounds: int, n_bytes: int) -> dict[str, Received]:
    """Send one instance per round to each receiver; the first round is not measured."""
    instance = folder / "instance.dcm"
    found = {receiver.name: Received() for receiver in among}
    for number in range(rounds + 1):
        n_written = write_instance(instance, n_bytes)
        for receiver in among:
            place = folder / "received"
            place.mkdir()
            with receiver.run(place) as running:
                before = cpu_seconds(running.pid)  # of the start, which is not what is measured
                receiver.send([instance], running.port)
                if number:
                    spent = cpu_seconds(running.pid) - before
                    found[receiver.name].cpu_s_per_gb.append(spent / (n_written / 1e9))
                    found[receiver.name].peak_mb.append(memory_mb(running.pid)["peak"])
            stored = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
            if stored < 0.99 * n_written:
                msg = f"{receiver.name} stored {stored} of {n_written} bytes"
                raise AssertionError(msg)
            shutil.rmtree(place)
    instance.unlink()
    return found


def association_lines(folder: Path, n_instances: int = 20, n_bytes: int = 25_000_000) -> Iterator[str]:
    """Send the same instances over more and more associations at once."""
    if shutil.which("storescu") is None:
        yield "not measured: needs storescu (Debian package dcmtk)"
        return
    yield f"The same {n_instances} instances of {n_bytes / 1e6:.0f} MB, over more and more associations at once."
    yield ""
    rows = []
    for n_associations in _ASSOCIATIONS:
        if n_instances % n_associations:
            continue
        cpu_s, memory, n_stored = measure_associations(folder, n_associations, n_instances, n_bytes)
        rows.append(
            [
                str(n_associations),
                short(cpu_s / (n_instances * n_bytes / 1e9)),
                short(memory["idle"]),
                short(memory["peak"]),
                f"{n_stored} of {n_instances}",
            ]
        )
    header = ["associations", "CPU s per GB", "memory before, MB", "peak memory, MB", "instances stored"]
    yield from table(header, rows)


def measure_associations(
    folder: Path, n_associations: int, n_instances: int, n_bytes: int
) -> tuple[float, dict[str, float], int]:
    """CPU seconds of our receiver, its memory before and at most, and how many instances it stored."""
    place, sent = folder / "received", folder / "sent"
    place.mkdir()
    sent.mkdir()
    files = [sent / f"{number}.dcm" for number in range(n_instances)]
    least_bytes = min(write_instance(file, n_bytes) for file in files)
    with run_ours(place) as running:
        before, idle = cpu_seconds(running.pid), memory_mb(running.pid)["now"]
        senders = [start_sending(files[first::n_associations], running.port) for first in range(n_associations)]
        for sender in senders:
            sender.wait(_SEND_S)
        spent, peak = cpu_seconds(running.pid) - before, memory_mb(running.pid)["peak"]
    large = [path for path in place.rglob("*.dcm") if path.stat().st_size > 0.9 * least_bytes]
    shutil.rmtree(place)
    shutil.rmtree(sent)
    return spent, {"idle": idle, "peak": peak}, len(large)
