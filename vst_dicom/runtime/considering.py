"""Consider what should happen to a slide, from what the spool holds; nothing is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vst_dicom.config import Settings
from vst_dicom.domain.errors import InputError, ResourceError, UsageError
from vst_dicom.ledger.decisions import What
from vst_dicom.ledger.slides import SpooledInstance
from vst_dicom.ledger.states import SlideState
from vst_dicom.runtime.spooled_headers import SpooledHeaders
from vst_dicom.study.completeness import find_base, find_missing
from vst_dicom.study.facts import InstanceFacts
from vst_dicom.study.rules import Action, Rules, Sender, read_rules
from vst_dicom.study.selection import Selection, select

_NOT_PROCESSED: Final = {
    Action.HOLD: (SlideState.HELD, What.HELD),
    Action.IGNORE: (SlideState.IGNORED, What.IGNORED),
}


@dataclass(frozen=True, slots=True)
class Consideration:
    """What should happen to a slide.

    Parameters
    ----------
    state
        Where it belongs; QUEUED means that a job is to be made.
    what, reason
        The decision, and why.
    look_again
        Whether time may change it.
    selection
        What a rule or the defaults say; None where it did not come so far.
    volumes
        The instances to be processed; none unless it is QUEUED.
    """

    state: SlideState
    what: What
    reason: str
    look_again: bool = False
    selection: Selection | None = None
    volumes: tuple[SpooledInstance, ...] = field(default=())


def consider(
    rows: Sequence[SpooledInstance], headers: SpooledHeaders, rules: Rules, *, asked: bool = False
) -> Consideration:
    """Consider a slide: can it be read, is it whole, what do rules and stain say.

    Parameters
    ----------
    rows
        The latest revision of each of its instances.
    headers
        Reads them.
    rules
        Of the site.
    asked
        Whether a person asked to process it.
    """
    facts = {row.id: headers.facts(row) for row in rows}
    problem = "" if asked else _find_problem(rows, facts)
    if problem:
        return unreadable(problem)
    missing = find_missing(facts.values(), asked=asked)
    base = find_base(facts)
    if missing or base is None:
        return Consideration(SlideState.COLLECTING, What.INCOMPLETE, missing)
    n_removed = sum(facts[row.id].is_volume and row.removed_at is not None for row in rows)
    if n_removed:
        reason = f"{n_removed} instances were removed after their result was delivered; send the whole slide again"
        return Consideration(SlideState.HELD, What.ALERT, reason)
    row = next(row for row in rows if row.id == base)
    try:
        selection = select(rules, headers.header(row), Sender(row.calling_ae, row.peer_address), asked=asked)
    except (InputError, ResourceError) as error:
        return unreadable(str(error))
    if selection.action is not Action.PROCESS:
        state, what = _NOT_PROCESSED[selection.action]
        return Consideration(state, what, selection.reason, selection=selection)
    volumes = tuple(row for row in rows if facts[row.id].is_volume)
    return Consideration(SlideState.QUEUED, What.QUEUED, selection.reason, selection=selection, volumes=volumes)


def unreadable(reason: str) -> Consideration:
    """Hold a slide that cannot be read now."""
    return Consideration(SlideState.HELD, What.ALERT, reason, look_again=True)


def current_revisions(rows: Sequence[SpooledInstance]) -> list[SpooledInstance]:
    """Keep the latest revision of each SOP instance."""
    latest: dict[str, SpooledInstance] = {}
    for row in rows:
        known = latest.get(row.sop_instance_uid)
        if known is None or row.revision > known.revision:
            latest[row.sop_instance_uid] = row
    return sorted(latest.values(), key=lambda row: row.id)


def read_site_rules(settings: Settings) -> Rules:
    """Read the rules that settings name; none where they name no file.

    Raises
    ------
    UsageError
        If the file is wrong, or a rule names a destination that the settings do not have.
    """
    if settings.study.rules is None:
        return Rules()
    rules = read_rules(settings.study.rules)
    check_destinations(rules, settings, f"rules file {settings.study.rules}")
    return rules


def check_destinations(rules: Rules, settings: Settings, name: str) -> None:
    """Check that every destination that rules name exists; `name` is what messages call the rules.

    Raises
    ------
    UsageError
        If one does not.
    """
    unknown = rules.unknown_destinations(settings.destinations)
    if unknown:
        msg = (
            f"{name} names destinations that the settings do not have: "
            f"{', '.join(unknown)}; add [destinations.{unknown[0]}] or correct the name"
        )
        raise UsageError(msg)


def _find_problem(rows: Sequence[SpooledInstance], facts: Mapping[int, InstanceFacts]) -> str:
    for row in rows:
        if facts[row.id].problem:
            return f"SOP instance {row.sop_instance_uid}: {facts[row.id].problem}"
    return ""
