"""``vst-dicom send``: a folder of DICOM files to a PACS, by C-STORE."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vst_dicom.cli.progress import stage_progress
from vst_dicom.domain.errors import PeerError, UsageError

if TYPE_CHECKING:
    from vst_dicom.deliver.association import DicomPeer, TlsFiles
    from vst_dicom.deliver.files import InstanceFile
    from vst_dicom.deliver.status import InstanceAnswer

_LONGEST_AE_TITLE = 16


def send(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of DICOM files, or one file.")],
    to: Annotated[str, typer.Option("--to", metavar="AET@HOST:PORT", help="The PACS.")],
    calling_ae: Annotated[str, typer.Option(metavar="AET", help="AE title of this side.")] = "VST_DICOM",
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS, with the authorities of this system.")] = False,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file of this side; implies --tls.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    tls_authorities: Annotated[Path | None, typer.Option(help="PEM file of who vouches for the PACS.")] = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="Seconds to wait for an answer or progress.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what became of each instance as JSON.")] = False,
) -> None:
    """Send a folder of DICOM files to a PACS, unchanged.

    Example: vst-dicom send results --to PACS@127.0.0.1:4242
    """
    from vst_dicom.deliver.association import TlsFiles
    from vst_dicom.deliver.files import find_instance_files

    is_tls = tls or tls_certificate is not None or tls_authorities is not None
    files = TlsFiles(tls_certificate, tls_key, tls_authorities) if is_tls else None
    peer = _parse_peer(to, files, timeout_s)
    if not calling_ae.strip() or len(calling_ae) > _LONGEST_AE_TITLE:
        raise UsageError("--calling-ae must have 1 to 16 characters")
    _send(peer, calling_ae, find_instance_files([folder]), as_json=as_json)


def _send(peer: "DicomPeer", calling_ae: str, files: "list[InstanceFile]", *, as_json: bool) -> None:
    from vst_dicom.deliver.status import Verdict
    from vst_dicom.deliver.store_scu import send_instances

    total_mb = max(sum(file.n_bytes for file in files) // 1_000_000, 1)
    answers: list[InstanceAnswer] = []
    failure: PeerError | None = None
    with stage_progress() as progress:
        sent = [0]

        def show(n_bytes: int) -> None:
            sent[0] += n_bytes
            progress("send MB", min(sent[0] // 1_000_000, total_mb), total_mb)

        try:
            send_instances(peer, calling_ae, files, on_answer=answers.append, on_bytes=show)
        except PeerError as error:
            failure = error
    _report(peer, files, answers, as_json=as_json)
    if failure is not None:
        raise failure
    refused = [answer for answer in answers if answer.verdict is not Verdict.ACCEPTED]
    if refused:
        msg = f"{peer} did not accept {len(refused)} of {len(files)} instances: {refused[0].reason}"
        raise PeerError(msg)


def _report(peer: "DicomPeer", files: "list[InstanceFile]", answers: "list[InstanceAnswer]", *, as_json: bool) -> None:
    verdicts = {answer.sop_instance_uid: answer for answer in answers}
    if not as_json:
        counts = Counter(answer.verdict.value for answer in answers)
        kinds = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())) or "no answer"
        typer.echo(f"{len(files)} instances to {peer}: {kinds}")
        return
    instances = []
    for file in files:
        answer = verdicts.get(file.sop_instance_uid)
        instances.append(
            {
                "file": str(file.path),
                "sop_instance_uid": file.sop_instance_uid,
                "answer": answer.verdict.value if answer else "none",
                "reason": answer.reason if answer else "",
            }
        )
    typer.echo(json.dumps({"to": str(peer), "instances": instances}, indent=2))


def _parse_peer(text: str, tls: "TlsFiles | None", timeout_s: float) -> "DicomPeer":
    """Read ``AET@HOST:PORT``; an IPv6 address stands in brackets."""
    from vst_dicom.deliver.association import DicomPeer

    ae_title, _, address = text.partition("@")
    host, _, port = address.rpartition(":")
    if not 1 <= len(ae_title.strip()) <= _LONGEST_AE_TITLE or not host or not port.isdecimal() or int(port) > 65_535:
        msg = f"--to must be AET@HOST:PORT, such as PACS@127.0.0.1:4242, not {text!r}"
        raise UsageError(msg)
    return DicomPeer(ae_title.strip(), host.strip("[]"), int(port), tls, timeout_s)
