"""One plain MariaDB server (no Galera) on loopback, for tests of what only a server can decide."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SETUP = """
INSTALL SONAME 'auth_ed25519';
CREATE USER app@'127.0.0.1' IDENTIFIED BY 'pässwörd';
CREATE USER empty@'127.0.0.1';
CREATE USER edwards@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('x');
CREATE USER monitor@'127.0.0.1' IDENTIFIED BY 'monitor';
CREATE DATABASE shop;
GRANT ALL ON shop.* TO app@'127.0.0.1';
"""


@dataclass(frozen=True)
class PlainMariadb:
    address: tuple[str, int]
    directory: Path
    process: subprocess.Popen[bytes]

    def sql(self, text: str) -> str:
        """Run `text` as root over the socket; the answer as tab-separated lines."""
        command = [
            "mariadb",
            "--no-defaults",
            "--default-character-set=utf8mb4",
            f"--socket={self.directory}/s",
            "-uroot",
            "-N",
            "-B",
        ]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout

    def client(self, user: str, password: str) -> str:
        """CURRENT_USER() of the server's own client over TCP under TLS, or the number of its error."""
        host, port = self.address
        command = [
            "mariadb",
            "--no-defaults",
            f"-h{host}",
            f"-P{port}",
            "--ssl",
            f"-u{user}",
            f"-p{password}",
            "-N",
            "-B",
        ]
        done = subprocess.run([*command, "-eSELECT CURRENT_USER()"], capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else done.stderr.split()[1]

    def connections(self, user: str) -> int:
        return int(self.sql(f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'"))


@contextlib.contextmanager
def plain_mariadb(*options: str, prepare: Callable[[Path], None] = lambda directory: None) -> Iterator[PlainMariadb]:
    """Starts the server in a directory of its own and waits until it answers; removes both at the end.

    `prepare` may put files into the directory first; "{directory}" in an option stands for it.
    """
    directory = Path(tempfile.mkdtemp(prefix="mw-plain-", dir="/tmp"))
    data = directory / "data"
    account = []
    prepare(directory)
    if os.geteuid() == 0:
        owner = pwd.getpwnam("mysql")
        for path in (directory, *directory.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        account = ["--user=mysql"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    small = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--aria-pagecache-buffer-size=4M"]
    try:
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", *account, f"--datadir={data}", "--skip-test-db",
             "--auth-root-authentication-method=normal", *small],
            check=True, capture_output=True,
        )  # fmt: skip
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                ["mariadbd", "--no-defaults", *account, f"--datadir={data}", f"--socket={directory}/s",
                 f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={directory}/pid", "--skip-log-bin",
                 "--skip-name-resolve", "--character-set-server=utf8mb4", *small,
                 *(option.format(directory=directory) for option in options)],
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            server = PlainMariadb(("127.0.0.1", port), directory, process)
            deadline = time.monotonic() + 30
            while True:
                assert process.poll() is None, (directory / "log").read_text()
                assert time.monotonic() < deadline, (directory / "log").read_text()
                with contextlib.suppress(subprocess.CalledProcessError):
                    server.sql(SETUP)
                    break
                time.sleep(0.05)
            yield server
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
