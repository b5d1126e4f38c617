import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vst_dicom.study.pattern import Pattern, PatternError


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("HE", "slide HE 1", True),
        ("^HE$", "slide HE", False),
        ("^S24-", "S24-001", True),
        ("^S24-", "xS24-001", False),
        (r"A\d+$", "S24-A12", True),
        (r"A\d+$", "S24-A", False),
        ("(HE|H&E)", "an H&E slide", True),
        ("(?i)breast", "Left BREAST", True),
        ("(?i)[a-c]9", "B9", True),
        ("(?i)[^a]9", "A9", False),
        ("[^0-9]", "123", False),
        ("[^0-9]", "12a", True),
        (r"[\d-]{3}", "x1-2", True),
        (r"[\w]+", "é", False),
        ("a{2,3}b", "ab", False),
        ("a{2,3}b", "aaab", True),
        ("^a{2}$", "aaa", False),
        ("", "anything", True),
        ("^$", "", True),
        ("^$", "x", False),
        (r"\.", "a", False),
        (r"[.]", ".", True),
        ("(?:ab)+c", "ababc", True),
        ("x*", "", True),
        ("[]]", "]", False),
    ],
)
def test_search_finds_what_the_pattern_says(pattern: str, text: str, found: bool) -> None:
    if pattern == "[]]":
        with pytest.raises(PatternError, match="empty"):
            Pattern(pattern)
    else:
        assert Pattern(pattern).search(text) is found


@pytest.mark.parametrize(
    "text",
    [
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "*a",
        "a**",
        "a+?",
        "{2}",
        "a{x}",
        "a{3,2}",
        "a{1000}",
        "\\",
        r"(a)\1",
        "(?=a)",
        "[z-a]",
    ],
)
def test_what_is_not_understood_is_refused_with_a_place(text: str) -> None:
    with pytest.raises(PatternError):
        Pattern(text)


def test_a_pattern_that_would_need_too_many_states_is_refused() -> None:
    with pytest.raises(PatternError, match="repeats too much"):
        Pattern("((a{100}){100}){100}")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(PatternError, match="nested"):
        Pattern("(" * 90 + ")" * 90)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a+)+$", "a?" * 60 + "a" * 60, "(.*)*x(.*)*y"])
def test_patterns_that_stall_a_backtracking_engine_take_no_time_here(pattern: str) -> None:
    compiled = Pattern(pattern)
    started_s = time.perf_counter()

    compiled.search("a" * 59 + "c")

    assert time.perf_counter() - started_s < 1


def test_a_very_long_text_is_cut() -> None:
    assert not Pattern("b").search("a" * 4096 + "b")


_atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", "1", "^", "$", r"\w"])
_patterns = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{1,2}", "{2}", "{0,}"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(pattern=_patterns, text=st.text("ab1 ", max_size=8))
def test_the_answer_is_that_of_the_standard_engine(pattern: str, text: str) -> None:
    assert Pattern(pattern).search(text) is (re.search(pattern, text, re.ASCII) is not None)
