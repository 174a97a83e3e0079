"""The client."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar

import grpc

from . import _calls as calls
from ._calls import RowRange, StoreRole
from ._connection import Tls, connection_to
from ._download import Download, Followed
from ._local_files import LocalFilesUnusable
from ._resume import wait_to_resume
from ._retry import Backoff
from ._transport import Transport
from ._wire import WireBatch
from .catalogue import Catalogue
from .errors import OptistoreError, from_rpc
from .problem import problem_of
from .rows import Rows
from .v1.problem_pb2 import Problem, Variable
from .v1.result_pb2 import Result
from .v1.storage_service_pb2 import (
    SaveOpen,
)
from .writer import Writer

T = TypeVar("T")
RETRY_S = 300.0


def connect(
    address: str | None = None,
    *,
    token: str | None = None,
    tls: bool | Tls | None = None,
    insecure: bool | None = None,
    retry_s: float = RETRY_S,
) -> Client:
    """Makes a client; it connects when it is first used.

    Args:
        address: ``host:port`` or ``unix:PATH``. None: OPTISTORE_SERVER, else 127.0.0.1:50051.
        token: What ``optistore token create`` printed. None: OPTISTORE_TOKEN.
        tls: True, or the PEM files. None: OPTISTORE_TLS_CA, OPTISTORE_TLS_CERT and OPTISTORE_TLS_KEY, or
            OPTISTORE_TLS=true alone.
        insecure: A token may go over the network unencrypted. None: OPTISTORE_INSECURE.
        retry_s: A save or load gives up after failing to reconnect for so many seconds.

    Raises:
        OptistoreError: A token would go over the network unencrypted, or a TLS file can't be read.
    """
    return Client(address, token=token, tls=tls, insecure=insecure, retry_s=retry_s)


class Client(Catalogue):
    """A client of a daemon. What fails at the daemon or on the way there is an OptistoreError. Threads may share it."""

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        tls: bool | Tls | None = None,
        insecure: bool | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        super().__init__(Transport(connection_to(address, token, tls, insecure)), retry_s)

    def close(self) -> None:
        """Closes the connection, and ends what is watched or loaded. Writers are closed before."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def save(
        self,
        key: str,
        problem: Problem | Iterable[Variable],
        *,
        upload_id: str | None = None,
        resume: bool = False,
        tags: Mapping[str, str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        description: str = "",
        expected_revision: int | None = None,
        replicate: bool | Literal["sync"] | None = None,
        to_backend: Literal["primary", "cache"] | None = None,
        on_ack: Callable[[int], object] | None = None,
        on_reconnect: Callable[[OptistoreError], object] | None = None,
    ) -> Writer:
        """Begins to save a run, or goes on with one.

        Args:
            key: Where the result is to be kept.
            problem: What is optimized, or just its variables.
            upload_id: Names the save, such as by the solver's own run id: one that is in progress is resumed. None: a
                new one.
            resume: Goes on with the save of this key that is in progress, where there is one: the one with the latest row.
            tags: Short labels for finding it.
            attributes: Free structured facts, as JSON would have them.
            description: Free text.
            expected_revision: The commit replaces this revision only; 0: the key must not exist.
            replicate: Copies it to the secondary: True does not wait for that, ``"sync"`` does. None: as the daemon is
                configured.
            to_backend: ``"cache"``: kept in memory alone until it is migrated or deleted.
            on_ack: Called, by a thread of the client, with the number of durable rows whenever it has grown.
            on_reconnect: Called when the stream broke and is about to be opened again.
        """
        if upload_id is None and resume:
            upload_id = wait_to_resume(self, key)
        return self._open(
            calls.save_open(
                key,
                problem_of(problem),
                upload_id=upload_id or str(uuid.uuid4()),
                tags=tags,
                attributes=attributes,
                description=description,
                expected_revision=expected_revision,
                replicate=replicate,
                to_backend=to_backend,
                append=False,
            ),
            on_ack,
            on_reconnect,
        )

    def extend(
        self,
        key: str,
        *,
        upload_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        description: str = "",
        expected_revision: int | None = None,
        replicate: bool | Literal["sync"] | None = None,
        on_ack: Callable[[int], object] | None = None,
        on_reconnect: Callable[[OptistoreError], object] | None = None,
    ) -> Writer:
        """Begins to add rows behind those that a result has. The columns are the same; all else is as in ``save``."""
        return self._open(
            calls.save_open(
                key,
                self.get(key).problem,
                upload_id=upload_id or str(uuid.uuid4()),
                tags=tags,
                attributes=attributes,
                description=description,
                expected_revision=expected_revision,
                replicate=replicate,
                to_backend=None,
                append=True,
            ),
            on_ack,
            on_reconnect,
        )

    def _open(
        self,
        request: SaveOpen,
        on_ack: Callable[[int], object] | None,
        on_reconnect: Callable[[OptistoreError], object] | None,
    ) -> Writer:
        return Writer(
            self._transport.save,
            request,
            self.address,
            self._retry_s,
            on_ack,
            on_reconnect,
        )

    def load(
        self,
        key: str,
        *,
        columns: Sequence[str] | None = None,
        rows: RowRange | None = None,
        revision: int | None = None,
        result_set: str | None = None,
        sample_rows: int | None = None,
        backend: StoreRole | None = None,
        local_files: bool | None = None,
        on_reconnect: Callable[[OptistoreError], object] | None = None,
    ) -> Rows:
        """Loads rows into memory.

        Args:
            key: The result.
            columns: Names, in the order wanted. None: all.
            rows: A slice, a range or ``(first, end)``: from the first to before the end. None: all.
            revision: None: the newest.
            result_set: Only the rows of this set; ``rows`` then counts positions in it.
            sample_rows: A sample of at most so many rows, where the result has more: front, improvements and extremes, and the
                rest evenly spread; ``Rows.sample`` tells. 1,000 to 1,000,000; ``rows`` then counts positions in it. Not with
                ``result_set``. None: all rows.
            backend: Only from this store. None: whichever can serve it, the cache first.
            local_files: Rows are read from the daemon's files where that can be. None: at a Unix socket.
            on_reconnect: Called when the load broke and is about to go on.
        """
        download = Download(
            calls.load(
                self.address,
                key,
                columns=columns,
                rows=rows,
                revision=revision,
                result_set=result_set,
                sample_rows=sample_rows,
                backend=backend,
                max_batch_bytes=None,
                local_files=local_files,
            )
        )
        for batch in self._batches(download, on_reconnect):
            if batch is not None:
                download.keep(batch)
        return download.rows()

    def load_batches(
        self,
        key: str,
        *,
        columns: Sequence[str] | None = None,
        rows: RowRange | None = None,
        revision: int | None = None,
        result_set: str | None = None,
        sample_rows: int | None = None,
        backend: StoreRole | None = None,
        max_batch_bytes: int | None = None,
        local_files: bool | None = None,
        on_reconnect: Callable[[OptistoreError], object] | None = None,
    ) -> Generator[Rows, None, None]:
        """Loads rows batch by batch, as they are iterated: of a result of any size only a few MiB are in memory.

        ``max_batch_bytes`` is about the size of a batch: 64 KiB to 3 MiB; None: 1 MiB. All else is as in ``load``.
        """
        download = Download(
            calls.load(
                self.address,
                key,
                columns=columns,
                rows=rows,
                revision=revision,
                result_set=result_set,
                sample_rows=sample_rows,
                backend=backend,
                max_batch_bytes=max_batch_bytes,
                local_files=local_files,
            )
        )
        for batch in self._batches(download, on_reconnect):
            if batch is not None:
                yield download.rows_of(batch)

    def follow(
        self,
        key: str,
        *,
        columns: Sequence[str] | None = None,
        first_row: int | None = None,
        upload_id: str | None = None,
        max_batch_bytes: int | None = None,
        on_reconnect: Callable[[OptistoreError], object] | None = None,
    ) -> Follower:
        """Reads a save in progress along: rows as they are acknowledged, until its commit.

        Args:
            key: Of the save.
            columns: As in ``load``.
            first_row: Where to begin; it may lie ahead of what is there.
            upload_id: Which save. None: the one of the key that was opened last.
            max_batch_bytes: As in ``load_batches``.
            on_reconnect: As in ``load``.
        """
        download = Download(calls.follow(key, columns, first_row, upload_id, max_batch_bytes))
        return Follower(download, self._batches(download, on_reconnect))

    # None among the batches says that the header is there.
    def _batches(
        self, download: Download, on_reconnect: Callable[[OptistoreError], object] | None
    ) -> Generator[WireBatch | None, None, None]:
        backoff = Backoff(self._retry_s)
        while True:
            try:
                for batch in self._batches_of_call(download):
                    if batch is not None:
                        backoff.succeeded()
                    yield batch
                return
            except LocalFilesUnusable:
                download.without_files()
            except OptistoreError as error:
                if self._transport.is_closed or not download.may_go_on(error):
                    raise
                if on_reconnect is not None:
                    on_reconnect(error)
                time.sleep(backoff.failed(error))
                if self._transport.is_closed:
                    raise

    def _batches_of_call(self, download: Download) -> Generator[WireBatch | None, None, None]:
        call = self._transport.load(download.next_request())
        try:
            for message in call:
                was_begun = download.header is not None
                yield from download.take(message)
                if not was_begun and download.header is not None:
                    yield None
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from error
        finally:
            call.cancel()
        download.ended()


class Follower(Followed):
    """Rows of a save in progress, batch by batch as they are acknowledged; ends with its commit. Iterate it once."""

    def __init__(self, download: Download, batches: Generator[WireBatch | None, None, None]) -> None:
        self._download = download
        self._batches = batches

    def __iter__(self) -> Iterator[Rows]:
        try:
            for batch in self._batches:
                if batch is not None:
                    yield self._download.rows_of(batch)
        finally:
            self.close()

    def begin(self) -> Result:
        """Waits for the daemon's answer alone, not for rows: the save as it is then, in state UPLOADING, with its problem."""
        if self._download.header is None:
            next(self._batches)
        return self._download.known_header.result

    def close(self) -> None:
        """Ends it early."""
        self._batches.close()
