"""Regular expressions whose search takes time in proportion to the text, whatever pattern and text are.

Rules come from the operator, but the text they search comes from whoever sends an instance. The engine of Python's
`re` backtracks: some patterns need hours for a text of forty characters. This one keeps all possibilities at once
(Thompson's construction), and so has no groups to ask for, no back-references and no look-around, which rules do not
need.
"""

from dataclasses import dataclass
from typing import Final

_MOST_CHARACTERS: Final = 200
_MOST_STATES: Final = 2000
_MOST_REPEATS: Final = 100
_MOST_DEPTH: Final = 20
_MOST_TEXT: Final = 4096

_DIGITS: Final = (("0", "9"),)
_WORD: Final = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACE: Final = (("\t", "\r"), (" ", " "))
_ESCAPES: Final[dict[str, tuple[bool, tuple[tuple[str, str], ...]]]] = {
    "d": (False, _DIGITS),
    "D": (True, _DIGITS),
    "w": (False, _WORD),
    "W": (True, _WORD),
    "s": (False, _SPACE),
    "S": (True, _SPACE),
}
_SPECIAL: Final = frozenset("\\.^$|()[]{}*+?")


class PatternError(ValueError):
    """The text is no pattern of the syntax that is understood."""


@dataclass(frozen=True, slots=True)
class _Characters:
    """One character out of some, or any but those."""

    negated: bool
    ranges: tuple[tuple[str, str], ...]
    others: tuple["_Characters", ...] = ()

    def accepts(self, character: str) -> bool:
        inside = any(first <= character <= last for first, last in self.ranges)
        return (inside or any(other.accepts(character) for other in self.others)) != self.negated


@dataclass(frozen=True, slots=True)
class _Edge:
    """The beginning or the end of the text."""

    at_end: bool


@dataclass(frozen=True, slots=True)
class _Sequence:
    nodes: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    nodes: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    node: "_Node"
    least: int
    most: int | None


_Node = _Characters | _Edge | _Sequence | _Choice | _Repeat

_State = tuple[_Characters | _Edge | None, tuple[int, ...]]
"""What it takes to leave the state (nothing if None), and where to."""


class Pattern:
    r"""A pattern ready to search.

    Understood are characters, ``.``, ``[a-z]``, ``[^a-z]``, ``\d \w \s \D \W \S``, ``^ $``, ``( )``, ``|``, ``* + ?``,
    ``{n} {n,} {n,m}``, a backslash before a special character, and ``(?i)`` at the beginning for letters of either
    case.

    Parameters
    ----------
    text
        At most 200 characters.

    Raises
    ------
    PatternError
        If it is anything else, or would need too many states.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _MOST_CHARACTERS:
            msg = f"it is longer than {_MOST_CHARACTERS} characters"
            raise PatternError(msg)
        self._any_case = text.startswith("(?i)")
        node = _Parser(text[4:] if self._any_case else text).parse()
        self._states: list[_State] = [(None, ())]
        self._start = self._emit(node, 0)

    def search(self, text: str) -> bool:
        """Whether any part of the text matches; of a longer text, the first 4096 characters count."""
        text = text[:_MOST_TEXT]
        current: set[int] = set()
        for position in range(len(text) + 1):
            self._enter(self._start, current, position, len(text))
            if 0 in current:
                return True
            if position == len(text):
                break
            following: set[int] = set()
            for state in current:
                test, targets = self._states[state]
                if isinstance(test, _Characters) and self._accepts(test, text[position]):
                    self._enter(targets[0], following, position + 1, len(text))
            current = following
        return False

    def _accepts(self, test: _Characters, character: str) -> bool:
        if not self._any_case:
            return test.accepts(character)
        cases = {character.lower(), character.upper()}
        if test.negated:
            return all(test.accepts(case) for case in cases)
        return any(test.accepts(case) for case in cases)

    def _enter(self, state: int, entered: set[int], position: int, length: int) -> None:
        """Add a state and all that can be reached from it without reading a character."""
        waiting = [state]
        while waiting:
            state = waiting.pop()
            if state in entered:
                continue
            entered.add(state)
            test, targets = self._states[state]
            if test is None or (isinstance(test, _Edge) and position == (length if test.at_end else 0)):
                waiting.extend(targets)

    def _emit(self, node: _Node, after: int) -> int:
        """Write the states of a node that lead to the state `after`; answers where they begin."""
        match node:
            case _Characters() | _Edge():
                return self._add(node, (after,))
            case _Sequence(nodes):
                for part in reversed(nodes):
                    after = self._emit(part, after)
                return after
            case _Choice(nodes):
                return self._add(None, tuple(self._emit(part, after) for part in nodes))
            case _Repeat(repeated, least, most):
                if most is None:
                    loop = self._add(None, ())
                    self._states[loop] = (None, (self._emit(repeated, loop), after))
                    after = loop
                else:
                    end = after
                    for _ in range(most - least):
                        after = self._add(None, (self._emit(repeated, after), end))
                for _ in range(least):
                    after = self._emit(repeated, after)
                return after

    def _add(self, test: _Characters | _Edge | None, targets: tuple[int, ...]) -> int:
        if len(self._states) >= _MOST_STATES:
            raise PatternError("it repeats too much; use smaller numbers in { }")
        self._states.append((test, targets))
        return len(self._states) - 1


class _Parser:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0

    def parse(self) -> _Node:
        node = self._choice()
        if self._position < len(self._text):
            raise self._fault("')' without '('")
        return node

    def _choice(self) -> _Node:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._position < len(self._text) and self._text[self._position] not in "|)":
            parts.append(self._repeated())
        return _Sequence(tuple(parts))

    def _repeated(self) -> _Node:
        node = self._atom()
        limits = self._limits()
        if limits is None:
            return node
        if self._position < len(self._text) and self._text[self._position] in "*+?{":
            raise self._fault("two repeats after each other are not understood")
        return _Repeat(node, *limits)

    def _limits(self) -> tuple[int, int | None] | None:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        if not self._take("{"):
            return None
        end = self._text.find("}", self._position)
        least, comma, most = self._text[self._position : max(end, self._position)].partition(",")
        if end < 0 or not least.isdecimal() or not (most.isdecimal() or not most):
            raise self._fault("{ } must hold one or two whole numbers")
        self._position = end + 1
        limits = int(least), int(most) if most else None if comma else int(least)
        if limits[0] > _MOST_REPEATS or (limits[1] is not None and not limits[0] <= limits[1] <= _MOST_REPEATS):
            raise self._fault(f"{{n,m}} must rise and be at most {_MOST_REPEATS}")
        return limits

    def _atom(self) -> _Node:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return self._set()
        if character == ".":
            return _Characters(negated=True, ranges=())
        if character in "^$":
            return _Edge(at_end=character == "$")
        if character == "\\":
            return self._escape()
        if character in _SPECIAL:
            raise self._fault(f"{character!r} stands where nothing can be repeated; write \\{character} for itself")
        return _Characters(negated=False, ranges=((character, character),))

    def _group(self) -> _Node:
        if self._take("?") and not self._take(":"):
            raise self._fault("of (?…) only (?:…), and (?i) at the beginning, are understood")
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise self._fault("( ) are nested too deeply")
        node = self._choice()
        if not self._take(")"):
            raise self._fault("'(' without ')'")
        self._depth -= 1
        return node

    def _set(self) -> _Characters:
        negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        others: list[_Characters] = []
        while not self._take("]"):
            character = self._next()
            if character == "\\":
                escaped = self._escape()
                if escaped.negated or len(escaped.ranges) > 1 or escaped.ranges == _DIGITS:
                    others.append(escaped)
                    continue
                character = escaped.ranges[0][0]
            last = character
            if self._text[self._position : self._position + 1] == "-" and not self._text.startswith(
                "-]", self._position
            ):
                self._position += 1
                last = self._next()
                if last == "\\":
                    last = self._escape().ranges[0][0]
            if last < character:
                raise self._fault(f"[{character}-{last}] does not rise")
            ranges.append((character, last))
        if not ranges and not others:
            raise self._fault("[ ] is empty")
        return _Characters(negated, tuple(ranges), tuple(others))

    def _escape(self) -> _Characters:
        character = self._next()
        if character in _ESCAPES:
            return _Characters(*_ESCAPES[character])
        if character.isalnum():
            raise self._fault(f"\\{character} is not understood")
        return _Characters(negated=False, ranges=((character, character),))

    def _take(self, character: str) -> bool:
        found = self._text.startswith(character, self._position)
        self._position += found
        return found

    def _next(self) -> str:
        if self._position >= len(self._text):
            raise self._fault("it ends too early")
        self._position += 1
        return self._text[self._position - 1]

    def _fault(self, what: str) -> PatternError:
        return PatternError(f"{what} (character {self._position})")
