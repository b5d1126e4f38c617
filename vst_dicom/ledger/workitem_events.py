"""Rows of `workitem_subscriptions` and `workitem_events`: who is told of changes to work items, and of which."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from vst_dicom.ledger.tables import workitem_events, workitem_subscriptions, workitems


@dataclass(frozen=True, slots=True)
class Subscription:
    """One row.

    Parameters
    ----------
    ae_title
        Who is told.
    sop_instance_uid
        About which work item, or the UID of the whole, or of the filtered, worklist.
    deletion_lock
        Whether final work items are to be kept for this subscriber.
    filter
        Names and values that new work items must have; only of the filtered worklist.
    """

    ae_title: str
    sop_instance_uid: str
    deletion_lock: bool
    filter: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, slots=True)
class WorkitemEvent:
    """An event report for one subscriber."""

    id: int
    report: dict[str, Any]


def subscribe(connection: Connection, subscription: Subscription) -> None:
    """Write a subscription in place of an earlier one of the same to the same."""
    unsubscribe(connection, subscription.ae_title, [subscription.sop_instance_uid])
    wanted = None if subscription.filter is None else [list(pair) for pair in subscription.filter]
    row = {
        "ae_title": subscription.ae_title,
        "sop_instance_uid": subscription.sop_instance_uid,
        "deletion_lock": subscription.deletion_lock,
        "filter": wanted,
    }
    connection.execute(insert(workitem_subscriptions).values(row))


def unsubscribe(connection: Connection, ae_title: str, sop_instance_uids: Iterable[str] | None) -> int:
    """Remove subscriptions of one AE title, all of them if None; answers how many there were."""
    statement = delete(workitem_subscriptions).where(workitem_subscriptions.c.ae_title == ae_title)
    if sop_instance_uids is not None:
        statement = statement.where(workitem_subscriptions.c.sop_instance_uid.in_(list(sop_instance_uids)))
    return connection.execute(statement).rowcount


def list_subscriptions(connection: Connection, sop_instance_uids: Iterable[str]) -> list[Subscription]:
    """Read who subscribed to any of these, in the order of subscription."""
    query = (
        select(workitem_subscriptions)
        .where(workitem_subscriptions.c.sop_instance_uid.in_(list(sop_instance_uids)))
        .order_by(workitem_subscriptions.c.id)
    )
    return [
        Subscription(
            row.ae_title,
            row.sop_instance_uid,
            row.deletion_lock,
            None if row.filter is None else tuple((name, value) for name, value in row.filter),
        )
        for row in connection.execute(query)
    ]


def subscribe_to_all(connection: Connection, ae_title: str, *, deletion_lock: bool) -> None:
    """Subscribe an AE title to every work item that it is not subscribed to."""
    known = select(workitem_subscriptions.c.sop_instance_uid).where(workitem_subscriptions.c.ae_title == ae_title)
    found = connection.execute(
        select(workitems.c.sop_instance_uid).where(workitems.c.sop_instance_uid.not_in(known)).order_by(workitems.c.id)
    ).scalars()
    rows = [{"ae_title": ae_title, "sop_instance_uid": uid, "deletion_lock": deletion_lock} for uid in found]
    if rows:
        connection.execute(insert(workitem_subscriptions), rows)


def add_events(
    connection: Connection, ae_titles: Iterable[str], reports: Iterable[Mapping[str, Any]], now: datetime
) -> None:
    """Write event reports for each of the subscribers, in the transaction of what they tell of."""
    rows = [
        {"at": now, "ae_title": title, "report": dict(report)}
        for report in reports
        for title in dict.fromkeys(ae_titles)
    ]
    if rows:
        connection.execute(insert(workitem_events), rows)


def list_events(connection: Connection, ae_title: str, after: int, limit: int) -> list[WorkitemEvent]:
    """Read events of a subscriber that were never sent, or came after one, in their order."""
    query = (
        select(workitem_events.c.id, workitem_events.c.report)
        .where(
            workitem_events.c.ae_title == ae_title,
            or_(workitem_events.c.is_sent.is_(False), workitem_events.c.id > after),
        )
        .order_by(workitem_events.c.id)
        .limit(limit)
    )
    return [WorkitemEvent(row.id, row.report) for row in connection.execute(query)]


def last_event(connection: Connection) -> int:
    """Row of the last event; 0 if there is none."""
    return connection.execute(select(func.max(workitem_events.c.id))).scalar_one() or 0


def mark_sent(connection: Connection, event_ids: Iterable[int]) -> None:
    """Note that events were sent."""
    connection.execute(update(workitem_events).where(workitem_events.c.id.in_(list(event_ids))).values(is_sent=True))


def forget_events(connection: Connection, before: datetime) -> int:
    """Remove events older than a moment, sent or not; answers how many."""
    return connection.execute(delete(workitem_events).where(workitem_events.c.at < before)).rowcount
