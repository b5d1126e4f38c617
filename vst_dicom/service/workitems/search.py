"""Search work items (PS3.18 11.9), and filters of subscriptions, which mean the same."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from vst_dicom.dicom.procedure_step import Json, key_of
from vst_dicom.domain.errors import UsageError
from vst_dicom.ledger.workitems import list_workitems
from vst_dicom.service.query import Query, matches_element, parse_query, parse_tag

_PAGE: Final = 200
_MOST_COMPARED: Final = 20_000
_STATE: Final = key_of("ProcedureStepState")
_RANGE: Final = re.compile(r"([0-9.]*)-([0-9.]*)")


@dataclass(frozen=True, slots=True)
class WorkitemQuery:
    """A search.

    Parameters
    ----------
    query
        What it asks of the data set itself.
    within
        What it asks of items of sequences: tags from the outside in, and the value.
    """

    query: Query
    within: tuple[tuple[tuple[str, ...], str], ...]

    def matches(self, attributes: Mapping[str, Any]) -> bool:
        """Whether a data set has all values asked for."""
        wanted = self.query.wanted
        uids = ((wanted.study_instance_uids, "0020000D"), (wanted.sop_class_uids, "00080016"))
        return (
            not wanted.series_instance_uids
            and all(
                not asked or not set(asked).isdisjoint(attributes.get(key, {}).get("Value", ())) for asked, key in uids
            )
            and all(
                _matches(attributes.get(key, {}), value, is_fuzzy=self.query.is_fuzzy)
                for key, value in self.query.keys.items()
            )
            and all(
                any(_matches(found, value, is_fuzzy=self.query.is_fuzzy) for found in _find(attributes, path))
                for path, value in self.within
            )
        )


def parse_workitem_query(parameters: Iterable[tuple[str, str]]) -> WorkitemQuery:
    """Parse the parameters of a search; attributes in sequences are named with dots (PS3.18 8.3.4.1).

    Raises
    ------
    UsageError
        If a parameter is not understood; its value is not repeated.
    """
    plain: list[tuple[str, str]] = []
    within: list[tuple[tuple[str, ...], str]] = []
    for name, value in parameters:
        if "." not in name:
            plain.append((name, value))
            continue
        if len(name) > 500 or len(value) > 1024 or len(within) > 50 or name.count(".") > 8:
            raise UsageError("the query is too long")
        if value:
            within.append((tuple(f"{parse_tag(part):08X}" for part in name.split(".")), value))
    return WorkitemQuery(parse_query(plain), tuple(within))


def matches_filter(attributes: Mapping[str, Any], wanted: tuple[tuple[str, str], ...]) -> bool:
    """Whether a data set has the values of a filter."""
    return parse_workitem_query(wanted).matches(attributes)


def search_workitems(connection: Connection, asked: WorkitemQuery) -> tuple[list[Json], bool]:
    """Find work items, the newest first, and whether there are more than the limit allows."""
    query = asked.query
    state = query.keys.get(_STATE, "")
    found: list[Json] = []
    n_skip, n_compared, before = query.offset, 0, None
    while n_compared < _MOST_COMPARED:
        page = list_workitems(
            connection,
            sop_instance_uids=query.wanted.sop_instance_uids,
            state="" if set("*?") & set(state) else state,
            limit=_PAGE,
            before=before,
        )
        for workitem in page:
            n_compared += 1
            if not asked.matches(workitem.attributes):
                continue
            if n_skip:
                n_skip -= 1
            elif len(found) == query.limit:
                return found, True
            else:
                found.append(workitem.attributes)
        if len(page) < _PAGE:
            return found, False
        before = page[-1].id
    return found, True


def _find(attributes: Mapping[str, Any], path: tuple[str, ...]) -> list[Json]:
    """Elements at the end of a path through sequences."""
    element = attributes.get(path[0], {})
    if len(path) == 1:
        return [element]
    items = element.get("Value", []) if element.get("vr") == "SQ" else []
    return [found for item in items for found in _find(item, path[1:])]


def _matches(element: Mapping[str, Any], wanted: str, *, is_fuzzy: bool) -> bool:
    between = _RANGE.fullmatch(wanted)
    if element.get("vr") == "DT" and between:
        first, last = between.groups()
        texts = [str(value) for value in element.get("Value", [])]
        return any((not first or text >= first) and (not last or text[: len(last)] <= last) for text in texts)
    return matches_element(dict(element), wanted, is_fuzzy=is_fuzzy)
