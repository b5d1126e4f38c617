"""The settings file with every setting, its default and what it means, made from the settings themselves."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from vst_dicom.config import AllowedPeer, Destination, Settings, TlsSettings
from vst_dicom.web_settings import OidcSettings

_HEAD: Final = """\
# All settings of vst_dicom. A line "# name = value" is a default: uncomment it to change it.
# The environment goes before this file: VST_DICOM_DICOM__PORT=104 sets port in [dicom].
# Check a file before you use it: vst-dicom config check --config FILE
"""
_EXAMPLES: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("dicom.tls", TlsSettings),
    ("[dicom.allowed_peers]", AllowedPeer),
    ("destinations.NAME", Destination),
    ("web.auth.oidc", OidcSettings),
)
"""Sections that do not exist until they are written."""


def document_settings() -> str:
    """Compose the file, TOML; every default is commented out, so that it means the same as no file."""
    lines = [_HEAD]
    lines += _document("", Settings)
    for name, model in _EXAMPLES:
        lines += ["", *_comment(model.__doc__), f"# [{name}]", *_fields(model)]
    return "\n".join(lines) + "\n"


def _document(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    yield from _fields(model)
    for name, field in model.model_fields.items():
        section = _section(field)
        if section is not None:
            yield ""
            yield from _comment(section.__doc__)
            yield f"[{prefix}{name}]"
            yield from _document(f"{prefix}{name}.", section)


def _fields(model: type[BaseModel]) -> Iterator[str]:
    """Document the settings of a section that are plain values."""
    for name, field in model.model_fields.items():
        if _section(field) is not None or _is_example(field):
            continue
        yield ""
        yield from _comment(field.description)
        yield f"# {name} = {_value(field)}"


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _is_example(field: FieldInfo) -> bool:
    """Whether it holds sections that do not exist until they are written."""
    examples = {model for _, model in _EXAMPLES}
    return any(part in examples for part in get_args(field.annotation))


def _value(field: FieldInfo) -> str:
    if field.is_required() or field.default is None:
        return "…"
    return _toml(field.default)


def _toml(value: Any) -> str:
    if isinstance(value, timedelta):
        return TypeAdapter(timedelta).dump_json(value).decode()
    if isinstance(value, tuple | frozenset):
        return json.dumps([str(part) for part in value])
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))


def _comment(text: str | None) -> list[str]:
    return [f"# {line.strip()}" for line in (text or "").strip().splitlines() if line.strip()]
