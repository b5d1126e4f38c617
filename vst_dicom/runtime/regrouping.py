"""Put the instances of a series into slides: one transaction, and nothing written where nothing changed."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta

from sqlalchemy import Connection

from vst_dicom.ledger.decisions import What, record_decision
from vst_dicom.ledger.slides import (
    Slide,
    SpooledInstance,
    add_slide,
    assign_instances,
    change_slide,
    find_own_results,
    list_series_instances,
    list_series_slides,
    mark_as_results,
    store_facts,
)
from vst_dicom.ledger.states import SlideState
from vst_dicom.runtime.considering import current_revisions
from vst_dicom.study.facts import InstanceFacts
from vst_dicom.study.grouping import SlideGroup, group_series
from vst_dicom.study.loop_guard import describe_other, is_whole_slide, recognise_own

_RETIRED = "its instances belong to another slide of the series by now"


def regroup_series(
    connection: Connection,
    series: tuple[str, str],
    headers: Mapping[int, InstanceFacts],
    own_device_uids: Set[str],
    *,
    now: datetime,
    quiet: timedelta,
) -> int:
    """Group the instances of one series anew.

    A slide keeps its row, and with it the history of its jobs, as long as it keeps most of its instances. Instances
    that came after `headers` were read are left for the next pass, unless another process grouped them meanwhile.

    Parameters
    ----------
    connection
        In a transaction; others who group the same series wait for its end.
    series
        Study Instance UID and Series Instance UID.
    headers
        What the headers say, by row, as they were read before the transaction.
    own_device_uids
        Device UIDs of this product's models.
    now, quiet
        The time, and how long a slide must be quiet before somebody looks at it.

    Returns
    -------
    int
        How many slides and results were written.
    """
    locked = list_series_instances(connection, *series, lock=True)
    facts = dict(headers)
    facts.update({row.id: InstanceFacts.from_json(row.facts) for row in locked if row.facts is not None})
    known = [row for row in locked if row.id in facts]
    if any(row.slide_id is not None and row.id not in facts for row in locked):
        return 0  # another process has put something unreadable into a slide since; the next pass sees it
    results = _set_results_aside(connection, series, known, facts, own_device_uids, now)
    rows = {row.id: row for row in known if row.id not in results}
    current = {row.id for row in current_revisions(list(rows.values()))}
    unknown = {number for number, row in rows.items() if row.facts is None and not facts[number].problem}
    store_facts(connection, {number: facts[number].to_json() for number in sorted(unknown)})
    groups = group_series({number: facts[number] for number in sorted(current)})
    if not groups and not results:
        return 0
    members = [_with_earlier_revisions(group, rows) for group in groups]
    slides = list_series_slides(connection, *series)
    places = _match(slides, groups, members, rows, series)
    n_changes = len(results) + _retire(connection, slides, places)
    _rename(connection, groups, places, series)
    for group, numbers, slide in zip(groups, members, places, strict=True):
        mine = [rows[number] for number in numbers]
        if slide is None:
            _add(connection, group, mine, series, quiet)
            n_changes += 1
            continue
        before = {row.id for row in rows.values() if row.slide_id == slide.id}
        content = set(group.volumes) | {number for number in group.aside if facts[number].problem}
        n_changes += _change(connection, slide, mine, before, content, now, quiet)
    return n_changes


def _set_results_aside(
    connection: Connection,
    series: tuple[str, str],
    rows: Sequence[SpooledInstance],
    facts: Mapping[int, InstanceFacts],
    own_device_uids: Set[str],
    now: datetime,
) -> set[int]:
    """Keep out what must not be processed; answers which rows."""
    new = [row for row in rows if row.slide_id is None]
    in_ledger = find_own_results(connection, {row.sop_instance_uid for row in new}, series[1]) if new else set()
    why: dict[int, tuple[What, str]] = {}
    for row in new:
        own = recognise_own(facts[row.id], own_device_uids, in_ledger=row.sop_instance_uid in in_ledger)
        if own:
            why[row.id] = What.OWN, own
        elif not is_whole_slide(row.sop_class_uid):
            why[row.id] = What.NOT_A_SLIDE, describe_other(row.sop_class_uid)
    for (what, reason), n_instances in Counter(why.values()).items():
        record_decision(
            connection,
            at=now,
            study_instance_uid=series[0],
            what=what,
            reason=f"{n_instances} of series {series[1]}: {reason}",
        )
    mark_as_results(connection, why.keys())
    return set(why)


def _with_earlier_revisions(group: SlideGroup, rows: Mapping[int, SpooledInstance]) -> tuple[int, ...]:
    uids = {rows[number].sop_instance_uid for number in group.members}
    return tuple(number for number, row in rows.items() if row.sop_instance_uid in uids)


def _match(
    slides: Sequence[Slide],
    groups: Sequence[SlideGroup],
    members: Sequence[tuple[int, ...]],
    rows: Mapping[int, SpooledInstance],
    series: tuple[str, str],
) -> list[Slide | None]:
    """Find the row of each group: that with most of its instances, else the one of its name; None for a new slide."""
    candidates = []
    for index, (group, numbers) in enumerate(zip(groups, members, strict=True)):
        held = Counter(rows[number].slide_id for number in numbers)
        for slide in slides:
            same_name = slide.group_key == group.key(*series)
            if held[slide.id] or same_name:
                candidates.append((-held[slide.id], not same_name, slide.id, index, slide))
    places: list[Slide | None] = [None] * len(groups)
    taken: set[int] = set()
    for _, _, slide_id, index, slide in sorted(candidates, key=lambda candidate: candidate[:4]):
        if slide_id not in taken and places[index] is None:
            places[index] = slide
            taken.add(slide_id)
    return places


def _retire(connection: Connection, slides: Sequence[Slide], places: Sequence[Slide | None]) -> int:
    """Close slides that have no instances any more."""
    kept = {slide.id for slide in places if slide is not None}
    retired = [slide for slide in slides if slide.id not in kept and slide.reason != _RETIRED]
    for slide in retired:
        change_slide(
            connection,
            slide.id,
            group_key=_spare_key(slide.id),
            state=SlideState.IGNORED,
            reason=_RETIRED,
            run_now=False,
            due_at=None,
        )
    return len(retired)


def _rename(
    connection: Connection, groups: Sequence[SlideGroup], places: Sequence[Slide | None], series: tuple[str, str]
) -> None:
    """Give slides the names of their groups; two may exchange theirs, so each gives up its own first."""
    changed = [
        (slide.id, group.key(*series))
        for group, slide in zip(groups, places, strict=True)
        if slide is not None and slide.group_key != group.key(*series)
    ]
    for slide_id, _ in changed:
        change_slide(connection, slide_id, group_key=_spare_key(slide_id))
    for slide_id, key in changed:
        change_slide(connection, slide_id, group_key=key)


def _spare_key(slide_id: int) -> str:
    return hashlib.sha256(f"spare\x1f{slide_id}".encode()).hexdigest()


def _add(
    connection: Connection,
    group: SlideGroup,
    rows: Sequence[SpooledInstance],
    series: tuple[str, str],
    quiet: timedelta,
) -> None:
    """Write a new slide."""
    last = max(row.received_at for row in rows)
    slide_id = add_slide(
        connection,
        group_key=group.key(*series),
        study_instance_uid=series[0],
        series_instance_uid=series[1],
        state=SlideState.COLLECTING,
        reason="instances still come",
        first_instance_at=min(row.received_at for row in rows),
        last_instance_at=last,
        due_at=last + quiet,
        reply_to_ae=rows[0].calling_ae,
        reply_to_address=rows[0].peer_address,
    )
    assign_instances(connection, [row.id for row in rows], slide_id)


def _change(
    connection: Connection,
    slide: Slide,
    rows: Sequence[SpooledInstance],
    before: Set[int],
    content: Set[int],
    now: datetime,
    quiet: timedelta,
) -> int:
    """Write which instances a slide has now; 0 if they are those of before.

    What decides its content starts the quiet time anew in every state, a label only while the slide is collecting.
    """
    present = {row.id for row in rows}
    if present == before:
        return 0
    assign_instances(connection, present - before, slide.id)
    last = max(row.received_at for row in rows)
    values: dict[str, object] = {
        "first_instance_at": min(row.received_at for row in rows),
        "last_instance_at": last,
    }
    changed = not content.isdisjoint(present - before) or bool(before - present)
    if changed and slide.state is not SlideState.COLLECTING:
        values |= {"state": SlideState.COLLECTING, "reason": "further instances came"}
    if changed or slide.state is SlideState.COLLECTING:
        values["due_at"] = now if slide.run_now else last + quiet
    change_slide(connection, slide.id, **values)
    return 1
