"""Further parts of a card: what other evidence has to say, once for both of its forms."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading with a few sentences and perhaps a table; plain text without markup.

    Parameters
    ----------
    title
        Heading.
    paragraphs
        Text.
    head, rows
        Of the table; empty where there is none.
    picture, picture_says
        SVG for the page, and what it shows in words; empty where there is none.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    picture: str = ""
    picture_says: str = ""

    def as_markdown(self) -> str:
        """Set it as Markdown, without the picture."""
        parts = [f"## {self.title}", *self.paragraphs]
        if self.head:
            lines = [self.head, ("---",) * len(self.head), *self.rows]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return "\n\n".join(parts)
