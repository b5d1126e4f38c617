"""Rules of a site: which slides are processed, with what, how soon, and where results go (see docs/rules.md)."""

import tomllib
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from vst_dicom.dicom.attributes import read_items, read_texts
from vst_dicom.dicom.specimen import stated_stain
from vst_dicom.domain.errors import DamagedInstanceError, UsageError
from vst_dicom.study.pattern import Pattern, PatternError

STAIN: Final = "Stain"
CALLING_AE: Final = "CallingAE"
PEER_ADDRESS: Final = "PeerAddress"

_OWN_NAMES: Final = frozenset({STAIN, CALLING_AE, PEER_ADDRESS})
"""What can be asked for besides attributes."""

_NOT_TEXT: Final = frozenset({"SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_MOST_FILE_BYTES: Final = 1 << 20
_MOST_VALUES: Final = 10_000

_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60, pattern=r"^[ -~]+$")]


class Action(StrEnum):
    """What happens to a slide."""

    PROCESS = "process"
    HOLD = "hold"
    IGNORE = "ignore"


class Priority(IntEnum):
    """How soon; smaller goes first."""

    STAT = 1
    HIGH = 50
    ROUTINE = 100


class Condition(BaseModel):
    """What the values of one attribute must be; any one of several values suffices."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    equals: str | None = None
    any_of: Annotated[tuple[str, ...] | None, Field(alias="in", min_length=1, max_length=1000)] = None
    regex: Pattern | None = None
    missing: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, given: Any) -> Any:
        """Take a text as `equals`, a list as `in`."""
        if isinstance(given, str):
            return {"equals": given}
        return {"in": given} if isinstance(given, list) else given

    @field_validator("regex", mode="before")
    @classmethod
    def _read_pattern(cls, given: Any) -> Any:
        if not isinstance(given, str):
            raise ValueError("a regex must be text")
        try:
            return Pattern(given)
        except PatternError as error:
            msg = f"the regex is not understood: {error}"
            raise ValueError(msg) from error

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if sum(part is not None for part in (self.equals, self.any_of, self.regex, self.missing)) != 1:
            raise ValueError("give exactly one of equals, in, regex, missing")
        return self

    def holds(self, values: Set[str]) -> bool:
        """Whether the stated values are as asked for."""
        if self.missing is not None:
            return self.missing is not bool(values)
        if self.equals is not None:
            return self.equals in values
        if self.any_of is not None:
            return not values.isdisjoint(self.any_of)
        return self.regex is not None and any(self.regex.search(value) for value in values)


class Rule(BaseModel):
    """One rule: all conditions must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    when: dict[str, Condition] = {}
    then: Action
    bundle: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    genes: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    destinations: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    priority: Priority = Priority.ROUTINE

    @field_validator("priority", mode="before")
    @classmethod
    def _read_priority(cls, given: Any) -> Any:
        names = {priority.name.lower(): priority for priority in Priority}
        if given not in names:
            msg = f"the priority must be one of {', '.join(names)}"
            raise ValueError(msg)
        return names[given]

    @field_validator("when")
    @classmethod
    def _knows_attributes(cls, when: dict[str, Condition]) -> dict[str, Condition]:
        for path in when:
            _check_path(path)
        return when

    def matches(self, header: Dataset, sender: "Sender") -> bool:
        """Whether every condition holds for a slide."""
        return all(condition.holds(_values(path, header, sender)) for path, condition in self.when.items())


class Rules(BaseModel):
    """All rules; the first that matches decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Annotated[tuple[Rule, ...], Field(max_length=500)] = ()

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [rule.name for rule in self.rule]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"two rules are named {twice[0]!r}; decisions name the rule, so names must differ"
            raise ValueError(msg)
        return self

    def find(self, header: Dataset, sender: "Sender") -> Rule | None:
        """Find the first rule that matches a slide."""
        return next((rule for rule in self.rule if rule.matches(header, sender)), None)

    def unknown_destinations(self, known: Iterable[str]) -> list[str]:
        """Destinations that rules name but settings do not."""
        named = {name for rule in self.rule for name in rule.destinations or ()}
        return sorted(named.difference(known))


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a slide.

    Parameters
    ----------
    calling_ae
        Calling AE title.
    address
        Network address.
    """

    calling_ae: str = ""
    address: str = ""


def read_rules(path: Path) -> Rules:
    """Read a file of rules.

    Raises
    ------
    UsageError
        If it cannot be read, or says something that is not understood; every fault is named.
    """
    name = f"rules file {path}"
    try:
        if path.stat().st_size > _MOST_FILE_BYTES:
            msg = f"{name} is larger than {_MOST_FILE_BYTES >> 20} MiB; split what it does or shorten it"
            raise UsageError(msg)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{name} cannot be read: {error}"
        raise UsageError(msg) from error
    return parse_rules(text, name)


def parse_rules(text: str, name: str) -> Rules:
    """Parse rules.

    Parameters
    ----------
    text
        TOML.
    name
        What messages call it.

    Raises
    ------
    UsageError
        If it is no TOML, or says something that is not understood; every fault is named.
    """
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        msg = f"{name} cannot be read: {error}"
        raise UsageError(msg) from error
    try:
        return Rules.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{_place(fault['loc'], content)}: {fault['msg']}" for fault in error.errors())
        msg = f"{name} does not fit: {faults}"
        raise UsageError(msg) from error


def _place(location: tuple[int | str, ...], content: dict[str, Any]) -> str:
    """Name the rule by its name where it has one."""
    if len(location) > 1 and location[0] == "rule" and isinstance(location[1], int):
        given = content["rule"][location[1]]
        name = given.get("name") if isinstance(given, dict) else None
        first = f"rule {name!r}" if isinstance(name, str) else f"rule number {location[1] + 1}"
        return ".".join([first, *map(str, location[2:])])
    return ".".join(map(str, location)) or "the file"


def _check_path(path: str) -> None:
    """Refuse what cannot be asked for."""
    if path in _OWN_NAMES:
        return
    *sequences, last = path.split(".")
    for keyword in (*sequences, last):
        if tag_for_keyword(keyword) is None:
            own = ", ".join(sorted(_OWN_NAMES))
            msg = f"{keyword!r} is no attribute keyword of the standard (PS3.6), nor one of {own}"
            raise ValueError(msg)
    for keyword in sequences:
        if dictionary_VR(keyword) != "SQ":
            msg = f"{keyword} is no sequence; nothing stands below it"
            raise ValueError(msg)
    if not _NOT_TEXT.isdisjoint(dictionary_VR(last).split()):  # such as OB or OW
        msg = f"{last} has no value that can be compared; name an attribute in it, such as {last}.CodeValue"
        raise ValueError(msg)


def _values(path: str, header: Dataset, sender: Sender) -> frozenset[str]:
    """Values stated for what a condition asks; broken and empty ones count as missing."""
    if path == STAIN:
        return frozenset(filter(None, [stated_stain(header)]))
    if path == CALLING_AE:
        return frozenset(filter(None, [sender.calling_ae]))
    if path == PEER_ADDRESS:
        return frozenset(filter(None, [sender.address]))
    found: set[str] = set()
    for value in _walk(header, path.split(".")):
        found.add(value)
        if len(found) >= _MOST_VALUES:
            break
    return frozenset(found)


def _walk(dataset: Dataset, keywords: list[str]) -> Iterator[str]:
    try:
        if len(keywords) == 1:
            yield from filter(None, read_texts(dataset, keywords[0]))
            return
        items = read_items(dataset, keywords[0])
    except DamagedInstanceError:
        return
    for item in items:
        yield from _walk(item, keywords[1:])
