"""``vst-dicom serve``: the server, or one of its processes."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[
        Path | None, typer.Option(envvar="VST_DICOM_CONFIG", metavar="FILE", help="Settings; see: vst-dicom config")
    ] = None,
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="Only this process: receiver, worker-cpu, worker-gpu, delivery or web.")
    ] = "",
    slot: Annotated[int, typer.Option(min=0, help="Number of this process, where several of one role run.")] = 0,
) -> None:
    """Receive slides by DICOM, process them, deliver results; until stopped by SIGTERM or Ctrl-C.

    Without --role, all processes run and those that end are started again. With it, exactly one runs, for systemd or
    Kubernetes.

    Example: vst-dicom serve --config vst-dicom.toml
    """
    from vst_dicom.runtime.lean import NOT_FOR_RECEIVING, keep_out

    if role == "receiver":
        keep_out(NOT_FOR_RECEIVING)
    from vst_dicom.config import read_settings
    from vst_dicom.runtime.logs import configure_logs

    settings = read_settings(config)
    settings = settings.model_copy(update={"serve": settings.serve.model_copy(update={"slot": slot})})
    configure_logs(role or "supervisor")
    if role:
        from vst_dicom.runtime.roles import run_role

        run_role(role, settings)
    else:
        from vst_dicom.runtime.supervisor import supervise

        supervise(settings, config)
