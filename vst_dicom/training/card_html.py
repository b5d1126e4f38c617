"""Pieces of a page: tables, pictures, lists; all text is escaped here."""

import base64
from collections.abc import Sequence
from html import escape


def table(head: Sequence[str], lines: Sequence[Sequence[str]], means: Sequence[bool], n_text: int) -> str:
    """Set a table whose first `n_text` columns are words; marked lines are means."""
    titles = "".join(
        f'<th scope="col"{" class=text" if column < n_text else ""}>{escape(title)}</th>'
        for column, title in enumerate(head)
    )
    body = "".join(
        f"<tr{' class=mean' if mean else ''}>"
        + "".join(
            f"<td{' class=text' if column < n_text else ''}>{escape(cell)}</td>" for column, cell in enumerate(line)
        )
        + "</tr>"
        for line, mean in zip(lines, means, strict=True)
    )  # fmt: skip
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def picture(svg: str, alt: str, caption: str) -> str:
    """Embed a picture, with what it shows for those who cannot see it."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def pairs(*named: tuple[str, str]) -> str:
    """Set names and what they stand for."""
    return '<dl class="plain">' + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in named) + "</dl>"


def bullets(lines: Sequence[str]) -> str:
    """Set a list."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
