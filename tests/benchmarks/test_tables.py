"""Figures as Markdown, and their places in a page."""

from pathlib import Path

import pytest

from benchmarks.measure import Pair
from benchmarks.parts import PARTS
from benchmarks.tables import range_text, replace_block, share_text, short, table, times_text

README = Path(__file__).parents[2] / "benchmarks" / "README.md"


def test_a_ratio_is_taken_round_by_round_and_shown_with_its_range() -> None:
    pair = Pair("read", "decode", (1.0, 2.0, 3.0), (2.0, 2.0, 4.0), 1000, "tile")

    assert pair.row() == "| read | decode | 2 | 2 | ms per tile | **75%** (50% to 100%) |"


def test_figures_have_about_three_digits() -> None:
    assert [short(number) for number in (0.1234, 12.34, 1234.5)] == ["0.12", "12.3", "1,234"]
    assert share_text([0.5, 0.9, 0.7]) == "**70%** (50% to 90%)"
    assert times_text([3.0, 4.0, 5.0]) == "**4.00 ×** (3.00 to 5.00)"
    assert range_text([10.0, 20.0, 12.0]) == "12.0 (10.0 to 20.0)"


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == ["| a | b |", "|---|---|", "| 1 | 2 |"]


def test_a_block_is_replaced_and_nothing_beside_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- read -->\nold\n<!-- /read -->\nafter\n")

    replace_block(page, "read", ["new", "lines"])

    assert page.read_text() == "before\n<!-- read -->\nnew\nlines\n<!-- /read -->\nafter\n"


def test_a_page_without_the_block_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")

    with pytest.raises(ValueError, match="no block read"):
        replace_block(page, "read", ["new"])

    assert page.read_text() == "nothing here\n"


@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_its_place_in_the_readme(name: str) -> None:
    text = README.read_text(encoding="utf-8")

    assert f"## {PARTS[name].title}\n\n<!-- {name} -->\n" in text
    assert f"\n<!-- /{name} -->\n" in text
