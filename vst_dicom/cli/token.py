"""``vst-dicom token``: API tokens for machines, and for people where there is no identity provider."""

import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from vst_dicom.cli.ledger import AsJson, Config, open_ledger

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API tokens.")


class TokenRole(StrEnum):
    """What a token allows."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, such as ohif or night-shift.")],
    role: Annotated[TokenRole, typer.Option(help="What it allows.")] = TokenRole.VIEWER,
    days: Annotated[int, typer.Option(min=1, max=3650, help="After so many days it ends.")] = 90,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Create a token and print it; it is shown only now.

    Example: vst-dicom token create ohif --role viewer --days 30
    """
    from vst_dicom.config import read_settings
    from vst_dicom.domain.errors import UsageError
    from vst_dicom.ledger.access import create_token
    from vst_dicom.ledger.database import open_database

    if not name.isascii() or not name.isprintable() or not 0 < len(name) <= 100:
        raise UsageError("NAME must be 1 to 100 plain characters, and name no patient")
    settings = read_settings(config)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = open_database(settings.database)
    now = datetime.now(UTC)
    ends = now + timedelta(days=days)
    with database.begin() as connection:
        token = create_token(connection, name, role, now=now, expires_at=ends)
    database.dispose()
    if as_json:
        typer.echo(json.dumps({"name": name, "role": role, "expires_at": ends.isoformat(), "token": token}))
        return
    typer.echo(token)
    typer.echo(f"{role} until {ends:%Y-%m-%d}; keep it now, it is not shown again", err=True)
    if settings.web.auth.mode == "none":
        typer.echo('the server asks for no token yet; set mode = "token" in [web.auth]', err=True)


@app.command("list")
def list_(config: Config = None, as_json: AsJson = False) -> None:
    """List tokens, without their secrets.

    Example: vst-dicom token list
    """
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.access import list_tokens

    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        found = list_tokens(connection)
    now = datetime.now(UTC)
    facts = []
    for token in found:
        state = "revoked" if token.revoked_at else "expired" if token.expires_at <= now else "valid"
        facts.append({
            "lookup": token.lookup,
            "name": token.name,
            "role": token.role,
            "state": state,
            "created_at": token.created_at.isoformat(),
            "expires_at": token.expires_at.isoformat(),
        })  # fmt: skip
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for fact in facts:
        typer.echo(f"{fact['lookup']} {fact['name']}: {fact['role']}, {fact['state']}, ends {fact['expires_at'][:10]}")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a token, or how list calls it.")],
    config: Config = None,
) -> None:
    """End a token and the logins that it began, within seconds.

    Example: vst-dicom token revoke ohif
    """
    from vst_dicom.config import read_settings
    from vst_dicom.ledger.access import revoke_token

    with open_ledger(read_settings(config)) as database, database.begin() as connection:
        token = revoke_token(connection, name, datetime.now(UTC))
    typer.echo(f"{token.name} ({token.lookup}) is revoked")
