"""``vst-dicom studies``: which slides came, what was decided about each and why, and how to hurry one."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vst_dicom.cli.ledger import AsJson, Config, open_ledger
from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.states import SlideState

if TYPE_CHECKING:
    from vst_dicom.ledger.slides import Slide

app = typer.Typer(no_args_is_help=True, help="List and show received studies; process a slide now.")

StudyUid = Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.")]


@app.command("list")
def list_(
    state: Annotated[list[SlideState] | None, typer.Option(help="Only these states; all if none.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many slides at most, the latest.")] = 50,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List slides by study, the latest first.

    Example: vst-dicom studies list --state held
    """
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.slides import count_instances, list_slides

    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        found = list_slides(connection, states=state or list(SlideState), limit=limit)
        counts = count_instances(connection, [slide.id for slide in found])
    if as_json:
        typer.echo(json.dumps([_facts(slide) | {"n_instances": counts.get(slide.id, 0)} for slide in found]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("study", "slide", "state", "instances", "latest (UTC)", "reason")
    for slide in found:
        latest = f"{slide.last_instance_at:%Y-%m-%d %H:%M:%S}"
        count = str(counts.get(slide.id, 0))
        table.add_row(slide.study_instance_uid, str(slide.id), slide.state, count, latest, slide.reason)
    Console().print(table)


@app.command()
def show(study: StudyUid, config: Config = None, as_json: AsJson = False) -> None:
    """Show the slides of a study with their jobs, and every decision about it with its reason.

    Example: vst-dicom studies show 1.2.826.0.1.3680043.8.498.1
    """
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.decisions import list_decisions
    from vst_dicom.ledger.slides import count_instances, list_slide_jobs, list_slides

    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        slides = sorted(list_slides(connection, study_instance_uid=study, limit=10_000), key=lambda slide: slide.id)
        decisions = list_decisions(connection, study)
        counts = count_instances(connection, [slide.id for slide in slides])
        made = {slide.id: list_slide_jobs(connection, slide.id) for slide in slides}
    if not slides and not decisions:
        raise _unknown(study)
    facts = [
        _facts(slide)
        | {
            "n_instances": counts.get(slide.id, 0),
            "jobs": [
                {"key": job.key, "state": job.state, "predecessor": job.predecessor_key} for job in made[slide.id]
            ],
        }
        for slide in slides
    ]
    told = [
        {"at": row.at.isoformat(), "slide": row.slide_id, "job": row.job_key, "what": row.what, "reason": row.reason}
        for row in decisions
    ]
    if as_json:
        typer.echo(json.dumps({"study_instance_uid": study, "slides": facts, "decisions": told}))
        return
    for slide in slides:
        typer.echo(f"slide {slide.id}: {slide.state}, {counts.get(slide.id, 0)} instances, {slide.reason}")
        for job in made[slide.id]:
            after = f", after {job.predecessor_key[:12]}" if job.predecessor_key else ""
            typer.echo(f"  job {job.key[:12]}: {job.state}{after}")
    for row in decisions:
        about = f" slide {row.slide_id}" if row.slide_id is not None else ""
        typer.echo(f"{row.at:%Y-%m-%d %H:%M:%S}{about} {row.what}: {row.reason}")


@app.command("run-now")
def run_now(
    study: StudyUid,
    slide: Annotated[int | None, typer.Option(metavar="N", help="Only this slide; see: vst-dicom studies show")] = None,
    config: Config = None,
) -> None:
    """Process the slides of a study without waiting, also where a rule would hold or ignore them.

    What is missing of a divided image is still waited for, and stains other than H&E stay held.

    Example: vst-dicom studies run-now 1.2.826.0.1.3680043.8.498.1 --slide 3
    """
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.slides import count_instances, list_slides
    from vst_dicom.runtime.orders import run_slides_now

    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        known = list_slides(connection, study_instance_uid=study, limit=10_000)
        counts = count_instances(connection, [row.id for row in known])
        chosen = sorted(
            (row for row in known if counts.get(row.id) and slide in (None, row.id)), key=lambda row: row.id
        )
        if not chosen:
            raise _unknown(study, slide)
        run_slides_now(connection, chosen, datetime.now(UTC))
    typer.echo(f"asked for slide {', '.join(str(row.id) for row in chosen)}; see: vst-dicom studies show {study}")


def _unknown(study: str, slide: int | None = None) -> UsageError:
    which = f"slide {slide} of study {study}" if slide is not None else f"study {study}"
    return UsageError(f"nothing was received of {which}; see: vst-dicom studies list")


def _facts(slide: "Slide") -> dict[str, Any]:
    return {
        "study_instance_uid": slide.study_instance_uid,
        "series_instance_uid": slide.series_instance_uid,
        "slide": slide.id,
        "state": slide.state,
        "reason": slide.reason,
        "first_instance_at": slide.first_instance_at.isoformat(),
        "last_instance_at": slide.last_instance_at.isoformat(),
        "run_now": slide.run_now,
        "sender": slide.reply_to_ae,
    }
