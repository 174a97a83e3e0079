"""What tests of the Python package share: a daemon (OPTISTORE_SERVER), and how to start others (OPTISTORE_DAEMON)."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import optistore
import pytest
from hypothesis import settings

# A busy machine takes its time.
settings.register_profile("optistore", deadline=None, print_blob=True)
settings.load_profile("optistore")


@pytest.fixture
def client() -> Iterator[optistore.Client]:
    """A client of the daemon that all share."""
    with optistore.connect(os.environ["OPTISTORE_SERVER"]) as client:
        yield client


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key that no other test has."""
    return f"{request.module.__name__}/{request.node.name}".replace("[", "/").replace("]", "")[:200]


class Daemon:
    """A daemon that can be killed and started again, on the same data and address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, object] = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.process: subprocess.Popen[str] | None = None

    def start(self, **settings: object) -> Daemon:
        """Returns when it serves. Settings are those of its configuration file."""
        self.settings |= settings
        file = self.folder / "optistore.yaml"
        primary = {"type": "leveldb", "path": str(self.folder / "data")}
        # JSON is YAML too.
        file.write_text(json.dumps({"primary": primary, "listen": self.address, **self.settings}))
        command = [*shlex.split(os.environ["OPTISTORE_DAEMON"]), "serve", "--config", str(file)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if '"msg":"serving"' in line:
                return self
        raise AssertionError("the daemon did not begin to serve")

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            assert self.process.stderr is not None
            self.process.stderr.close()
            self.process = None


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of one test's own."""
    daemon = Daemon(tmp_path)
    try:
        yield daemon.start()
    finally:
        daemon.kill()
