"""Real database servers for tests and benchmarks: each in a folder and on a socket of its own, and gone afterwards."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_SECONDS = 60


class NoServerError(Exception):
    """Tell that a server is not installed here."""


@contextmanager
def postgresql(*settings: str) -> Iterator[Path]:
    """Run PostgreSQL; yield the folder of its socket, which libpq takes for a host. User and database: postgres.

    :param settings: Such as ``fsync=off``.
    """
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    bin_ = folders[-1] if folders else Path(shutil.which("initdb") or "/nowhere/initdb").parent
    if not (bin_ / "initdb").exists():
        raise NoServerError("PostgreSQL is not installed")
    with _folder("postgres") as (folder, user):
        data = folder / "data"
        initdb = [bin_ / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-N", "--no-locale", "-E", "UTF8"]
        _prepare(initdb, folder, user)
        options = [part for setting in ("listen_addresses=", *settings) for part in ("-c", setting)]
        command = [bin_ / "postgres", "-D", data, "-k", folder, *options]
        with _running(command, folder, user, signal.SIGINT, (folder / ".s.PGSQL.5432").exists):
            ready = [str(bin_ / "pg_isready"), "-h", str(folder), "-q"]
            _wait(lambda: subprocess.run(ready, check=False).returncode == 0, folder)
            yield folder


@contextmanager
def mariadb() -> Iterator[Path]:
    """Run MariaDB; yield its socket. User root without a password, no database."""
    server, install = shutil.which("mariadbd", path=_PATH), shutil.which("mariadb-install-db", path=_PATH)
    if server is None or install is None:
        raise NoServerError("MariaDB is not installed")
    with _folder("mysql") as (folder, user):
        data, address = folder / "data", folder / "socket"
        common = ["--no-defaults", f"--datadir={data}"]
        _prepare([install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"], folder, user)
        quick = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-log-bin"]
        command = [server, *common, f"--socket={address}", "--skip-networking", f"--pid-file={folder}/pid", *quick]
        with _running(command, folder, user, signal.SIGKILL, address.exists):
            yield address


@contextmanager
def redis() -> Iterator[str]:
    """Run Redis on a free port; yield its URL."""
    server = shutil.which("redis-server", path=_PATH)
    if server is None:
        raise NoServerError("Redis is not installed")
    with _folder("redis") as (folder, user):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        command = [server, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", ""]

        def is_up() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            return False

        with _running(command, folder, user, signal.SIGKILL, is_up):
            yield f"redis://127.0.0.1:{port}/0"


def _version(folder: Path) -> int:
    return int(folder.parent.name.partition(".")[0])


_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


@contextmanager
def _folder(account: str) -> Iterator[tuple[Path, str | None]]:
    """Make a folder for a server, and say whose it is: servers refuse to run as root."""
    # Not below pytest's folders, which only root may enter; and short, because a socket's path may not be long.
    folder = Path(tempfile.mkdtemp(prefix="robofy-db-", dir="/tmp"))
    user = None
    try:
        if os.getuid() == 0:
            names = {one.pw_name for one in pwd.getpwall()}
            user = account if account in names else "nobody"
            shutil.chown(folder, user)
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(command: list, folder: Path, user: str | None) -> None:
    done = subprocess.run(command, cwd=folder, user=user, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout[-1000:]}{done.stderr[-1000:]}")


@contextmanager
def _running(
    command: list, folder: Path, user: str | None, end: signal.Signals, is_up: Callable[[], bool]
) -> Iterator[None]:
    def die_with_parent() -> None:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL if end == signal.SIGKILL else signal.SIGQUIT)

    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (nobody else runs threads while servers start)
        )
        try:
            _wait(lambda: is_up() or server.poll() is not None, folder)
            if server.poll() is not None:
                raise RuntimeError(f"{command[0]} did not start: {(folder / 'log').read_text()[-2000:]}")
            yield
        finally:
            server.send_signal(end)
            server.wait(30)


def _wait(is_so: Callable[[], bool], folder: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while not is_so():
        if time.monotonic() > until:
            raise RuntimeError(f"the server did not start: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)
