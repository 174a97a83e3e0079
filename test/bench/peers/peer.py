"""What every peer is to the bench: something that tells figures."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import workload
from workload import Result


class Figure(NamedTuple):
    name: str
    what: str
    unit: str
    value: float
    # Names of the figures that it stands beside.
    beside: tuple[str, ...] = ()


class Peer:
    """One thing that a user would pick instead. Its figures are named after its `name`, and told as those of its `title`."""

    name: str
    title: str

    def __init__(self, folder: Path, given: str = ""):
        """In an empty folder of its own; `given` is what peers.ts started or built for it."""
        self.folder = folder
        self.given = given

    def figures(self) -> Iterator[Figure]:
        raise NotImplementedError

    def figure(
        self, name: str, what: str, unit: str, amount: float, act: Callable[[], object], beside: tuple[str, ...] = ()
    ) -> Figure:
        """How much a second an act does of an amount."""
        started = time.perf_counter()
        act()
        value = amount / (time.perf_counter() - started)
        return Figure(f"{self.name}_{name}", f"{self.title}: {what}", unit, value, beside)


class Store(Peer):
    """A peer that saves results whole and loads them into numpy arrays."""

    # How many save and load small results at once.
    clients = 1

    def prepared(self, batches: list[Result]):
        """A result as `save` takes it; this is not timed."""
        return workload.joined(batches)

    def save(self, key: str, result) -> None:
        """Returns when it is as durable as this peer makes it."""
        raise NotImplementedError

    def load(self, key: str) -> int:
        """How many bytes of values are in numpy arrays now."""
        raise NotImplementedError

    def load_whole(self, key: str) -> int:
        """The same, into one array a column."""
        raise NotImplementedError

    def whole(self) -> Figure:
        """Of 1 GB, which was saved before."""
        size = workload.size_of(workload.large())

        def load():
            if (loaded := self.load_whole("large")) != size:
                raise ValueError(f"{loaded} bytes of {size} came back")

        return self.figure("whole", "load of 1 GB into one array a column", "MB/s", size / 1e6, load)

    def another_client(self) -> Self:
        """With a connection of its own, where there are connections."""
        return self

    def appends(self) -> Iterator[Figure]:
        """Of rows that come one by one."""
        yield from ()

    def figures(self) -> Iterator[Figure]:
        batches = workload.large()
        yield from self.saved_and_loaded("", "1 GB", batches, ["large"], 1)
        small = [workload.noise(workload.SMALL_ROWS)]
        keys = [f"small{i}" for i in range(workload.SMALL_COUNT)]
        by = f", {self.clients} clients" if self.clients > 1 else ""
        yield from self.saved_and_loaded("small_", f"1,000 of 320 KB{by}", small, keys, self.clients)
        yield from self.appends()

    def saved_and_loaded(self, name: str, what: str, batches: list[Result], keys: list[str], clients: int) -> Iterator[Figure]:
        size = workload.size_of(batches)
        megabytes = size * len(keys) / 1e6
        result = self.prepared(batches)

        def load(client: Self, key: str) -> None:
            if (loaded := client.load(key)) != size:
                raise ValueError(f"{loaded} bytes of {size} came back")

        def save(client: Self, key: str) -> None:
            client.save(key, result)

        yield self.figure(f"{name}save", f"save of {what}", "MB/s", megabytes, lambda: self.shared(keys, clients, save))
        yield self.figure(f"{name}load", f"load of {what}", "MB/s", megabytes, lambda: self.shared(keys, clients, load))

    def shared(self, keys: list[str], clients: int, act: Callable[[Self, str], None]) -> None:
        """Does something to each key, some clients at once."""
        failures: list[BaseException] = []

        def work(client: Self, own: list[str]) -> None:
            try:
                for key in own:
                    act(client, key)
            except BaseException as failure:
                failures.append(failure)

        if clients == 1:
            return [act(self, key) for key in keys] and None
        threads = [threading.Thread(target=work, args=(self.another_client(), keys[i::clients])) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


@contextmanager
def running(*command: object, **options) -> Iterator[subprocess.Popen]:
    """A server, which is ended at the end."""
    server = subprocess.Popen([str(word) for word in command], **options)
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for(server: subprocess.Popen, port: int, seconds: float = 90) -> None:
    """Until the server takes connections."""
    ends = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{server.args[0]} did not start") from None
            time.sleep(0.1)
