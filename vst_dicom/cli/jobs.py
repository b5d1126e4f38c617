"""``vst-dicom jobs``: what is processed, what waits for a person, and what to do about it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vst_dicom.cli.ledger import AsJson, Config, open_ledger
from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.states import JOB_TRANSITIONS, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from vst_dicom.ledger.jobs import Job

app = typer.Typer(no_args_is_help=True, help="List, show, retry and cancel jobs, and try deliveries again.")

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY...", help="Keys, or how they start.")]

_RETRYABLE = tuple(
    state for state in JobState if state is not JobState.RUNNING and JobState.QUEUED in JOB_TRANSITIONS[state]
)


@app.command("list")
def list_(
    state: Annotated[list[JobState] | None, typer.Option(help="Only these states; all if none.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, the newest.")] = 50,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first.

    Example: vst-dicom jobs list --state parked --state refused
    """
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.jobs import list_jobs

    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        found = list_jobs(connection, states=state or list(JobState), limit=limit)
    if as_json:
        typer.echo(json.dumps([_facts(job) for job in found]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("job", "state", "stage", "attempts", "bundle", "created (UTC)", "reason")
    for job in found:
        stage = f"{job.stage} {job.progress:.0%}" if job.stage and job.state is JobState.RUNNING else ""
        created = f"{job.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(job.key[:12], job.state, stage, str(job.attempts), job.bundle, created, job.reason)
    Console().print(table)


@app.command()
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of a job, or how it starts.")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show one job, its deliveries and the objects of its result.

    Example: vst-dicom jobs show 3f2a
    """
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.deliveries import list_deliveries, list_result_instances
    from vst_dicom.ledger.jobs import find_job
    from vst_dicom.ledger.shadows import list_shadows, read_shadow

    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        job = find_job(connection, key)
        shadow, beside = read_shadow(connection, job.key), list_shadows(connection, job.key)
        deliveries = list_deliveries(connection, job.key)
        instances = list_result_instances(connection, job.key)
    facts = _facts(job)
    facts["deliveries"] = [
        {"destination": row.destination, "state": row.state, "attempts": row.attempts, "reason": row.reason}
        for row in deliveries
    ]
    facts["result"] = [
        {"sop_instance_uid": row.sop_instance_uid, "file_name": row.file_name, "sha256": row.sha256}
        for row in instances
    ]
    if shadow is not None:
        facts["shadow_of"] = shadow.of_key
        facts["agreement"] = None if shadow.figures is None else dict(shadow.figures)
    facts["shadows"] = [
        {"job": row.job_key, "median_r": (row.figures or {}).get("median_r"), "done": row.figures is not None}
        for row in beside
    ]
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        if not isinstance(value, list) or name in ("genes", "destinations", "instance_ids"):
            typer.echo(f"{name}: {value}")
            continue
        for row in value:
            typer.echo(f"{name}: " + ", ".join(f"{part} {text}" for part, text in row.items() if text != ""))


@app.command()
def retry(
    keys: Keys = None,
    state: Annotated[JobState | None, typer.Option(help="All jobs in this state instead.")] = None,
    config: Config = None,
) -> None:
    """Queue jobs again that are parked, refused, cancelled or done; earlier attempts are forgiven.

    A job that is done keeps its result, which is sent again.

    Example: vst-dicom jobs retry 3f2a

    Example: vst-dicom jobs retry --state parked
    """
    if state is not None and state not in _RETRYABLE:
        msg = f"--state must be one of {', '.join(_RETRYABLE)}"
        raise UsageError(msg)
    from vst_dicom.runtime.orders import retry_jobs

    _order(config, keys, state, retry_jobs, "queued again")


@app.command()
def deliver(
    keys: Keys = None,
    to: Annotated[str, typer.Option(metavar="NAME", help="Only to this destination.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Of all jobs that are done.")] = False,
    config: Config = None,
) -> None:
    """Try deliveries again that were given up; what other destinations have is not sent again.

    Example: vst-dicom jobs deliver 3f2a

    Example: vst-dicom jobs deliver --all --to pacs
    """
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.jobs import find_job, list_jobs
    from vst_dicom.runtime.orders import deliver_again

    if not keys and not everything:
        raise UsageError("say which jobs: give their keys, or --all; see: vst-dicom jobs list")
    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        chosen = [find_job(connection, key) for key in keys or ()]
        if everything:
            chosen += list_jobs(connection, states=[JobState.DONE], limit=10_000)
        tried = deliver_again(connection, chosen, datetime.now(UTC), to=to)
    for row in tried:
        typer.echo(f"{row.job_key[:12]} to {row.destination}: tried again")
    if not tried:
        typer.echo("no delivery of these was given up")


@app.command()
def cancel(
    keys: Keys = None,
    config: Config = None,
) -> None:
    """Cancel jobs that are queued or running; running ones stop within seconds, and nothing is sent.

    Example: vst-dicom jobs cancel 3f2a
    """
    from vst_dicom.runtime.orders import cancel_jobs

    _order(config, keys, None, cancel_jobs, "cancelled")


def _order(
    config: Path | None,
    keys: list[str] | None,
    state: JobState | None,
    order: "Callable[[Connection, Sequence[Job], datetime], None]",
    done: str,
) -> None:
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.jobs import find_job, list_jobs

    if not keys and state is None:
        raise UsageError("say which jobs: give their keys; see: vst-dicom jobs list")
    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        chosen = [find_job(connection, key) for key in keys or ()]
        if state is not None:
            chosen += list_jobs(connection, states=[state], limit=10_000)
        order(connection, chosen, datetime.now(UTC))
    for job in chosen:
        typer.echo(f"{job.key[:12]} {done}")


def _facts(job: "Job") -> dict[str, Any]:
    return {
        "key": job.key,
        "state": job.state,
        "reason": job.reason,
        "stage": job.stage,
        "progress": job.progress,
        "attempts": job.attempts,
        "failed_attempts": job.failed_attempts,
        "bundle": job.bundle,
        "genes": None if job.genes is None else list(job.genes),
        "destinations": list(job.destinations),
        "priority": job.priority,
        "slide_id": job.slide_id,
        "instance_ids": list(job.instance_ids),
        "predecessor": job.predecessor_key,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at and job.started_at.isoformat(),
        "finished_at": job.finished_at and job.finished_at.isoformat(),
    }
