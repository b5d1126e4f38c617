"""A PostgreSQL of the test's own: Debian's programs, a folder that vanishes, loopback only."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path | None:
    """Folder of initdb and pg_ctl; Debian keeps them off the path."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


needs_postgresql = pytest.mark.skipif(
    _programs() is None and not os.environ.get("VST_DICOM_REQUIRE_PROGRAMS"),
    reason="needs initdb (Debian package postgresql)",
)


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Run a server; yields the address of its database, without the name of one."""
    programs = _programs()
    assert programs is not None, "needs initdb (Debian package postgresql)"
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="vst-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        def run(*command: str) -> None:
            subprocess.run(command, check=True, user=user, cwd=folder, timeout=60, stdout=subprocess.DEVNULL)

        data = str(folder / "data")
        run(str(programs / "initdb"), "-D", data, "-U", "vst", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=300"
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-t", "30", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://vst@127.0.0.1:{port}"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-w", "-t", "30", "-m", "immediate", "stop")


def make_database(server: str, name: str) -> str:
    """Make an empty database; returns its address."""
    import psycopg

    with psycopg.connect(f"{server.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


def empty_database(url: str) -> None:
    """Empty all tables, but keep them: making them anew takes a second."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        names = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname IN ('public', 'dbos') AND tablename <> 'dbos_migrations'"
        ).fetchall()
        if names:
            connection.execute(f"TRUNCATE {', '.join(name for (name,) in names)} RESTART IDENTITY CASCADE")
