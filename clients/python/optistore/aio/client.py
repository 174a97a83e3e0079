"""The client for asyncio: the same as optistore.Client, whose docstrings hold here too."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, TypeVar

import grpc

from .. import _calls as calls
from .._calls import RowRange, StoreRole
from .._connection import Tls, connection_to
from .._download import Download, Followed
from .._local_files import LocalFilesUnusable
from .._resume import ASK_AGAIN_S, LET_GO_S, upload_to_resume
from .._retry import Backoff
from .._wire import WireBatch
from ..errors import OptistoreError, from_rpc
from ..problem import problem_of
from ..rows import Rows
from ..v1.problem_pb2 import Problem, Variable
from ..v1.result_pb2 import Result
from ..v1.storage_service_pb2 import (
    SaveOpen,
)
from ._transport import Transport
from .catalogue import Catalogue
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
    """A client of a daemon, of one event loop. What fails at the daemon or on the way there is an OptistoreError."""

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

    async def close(self) -> None:
        """Closes the connection, and ends what is watched or loaded. Writers are closed before."""
        await self._transport.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

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
    ) -> Opening:
        """Begins to save a run, or goes on with one.

        ``async with client.save(…) as run``, or ``run = await client.save(…)``.
        """

        async def request() -> SaveOpen:
            resumed = upload_id
            if resumed is None and resume:
                resumed = await self._upload_to_resume(key)
            return calls.save_open(
                key,
                problem_of(problem),
                upload_id=resumed or str(uuid.uuid4()),
                tags=tags,
                attributes=attributes,
                description=description,
                expected_revision=expected_revision,
                replicate=replicate,
                to_backend=to_backend,
                append=False,
            )

        return Opening(lambda: self._open(request, on_ack, on_reconnect))

    async def _upload_to_resume(self, key: str) -> str | None:
        until = time.monotonic() + LET_GO_S
        while True:
            uploads = [upload async for upload in self.list_uploads(key)]
            try:
                return upload_to_resume(key, uploads)
            except OptistoreError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(ASK_AGAIN_S)

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
    ) -> Opening:
        """Begins to add rows behind those that a result has. The columns are the same; all else is as in ``save``."""

        async def request() -> SaveOpen:
            return calls.save_open(
                key,
                (await self.get(key)).problem,
                upload_id=upload_id or str(uuid.uuid4()),
                tags=tags,
                attributes=attributes,
                description=description,
                expected_revision=expected_revision,
                replicate=replicate,
                to_backend=None,
                append=True,
            )

        return Opening(lambda: self._open(request, on_ack, on_reconnect))

    async def _open(
        self,
        request: Callable[[], Awaitable[SaveOpen]],
        on_ack: Callable[[int], object] | None,
        on_reconnect: Callable[[OptistoreError], object] | None,
    ) -> Writer:
        writer = Writer(self._transport.save, await request(), self.address, self._retry_s, on_ack, on_reconnect)
        return await writer.begin()

    async def load(
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
        """Loads rows into memory."""
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
        async with aclosing(self._batches(download, on_reconnect)) as batches:
            async for batch in batches:
                if batch is not None:
                    download.keep(batch)
        return download.rows()

    async def load_batches(
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
    ) -> AsyncGenerator[Rows, None]:
        """Loads rows batch by batch, as they are iterated: of a result of any size only a few MiB are in memory."""
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
        # What is left early ends at once, not when it is collected.
        async with aclosing(self._batches(download, on_reconnect)) as batches:
            async for batch in batches:
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
        """Reads a save in progress along: rows as they are acknowledged, until its commit."""
        download = Download(calls.follow(key, columns, first_row, upload_id, max_batch_bytes))
        return Follower(download, self._batches(download, on_reconnect))

    # None among the batches says that the header is there.
    async def _batches(
        self, download: Download, on_reconnect: Callable[[OptistoreError], object] | None
    ) -> AsyncGenerator[WireBatch | None, None]:
        backoff = Backoff(self._retry_s)
        while True:
            try:
                async with aclosing(self._batches_of_call(download)) as batches:
                    async for batch in batches:
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
                await asyncio.sleep(backoff.failed(error))
                if self._transport.is_closed:
                    raise

    async def _batches_of_call(self, download: Download) -> AsyncGenerator[WireBatch | None, None]:
        call = self._transport.load(download.next_request())
        try:
            async for message in call:
                was_begun = download.header is not None
                for batch in download.take(message):
                    yield batch
                if not was_begun and download.header is not None:
                    yield None
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from error
        finally:
            call.cancel()
        download.ended()


class Follower(Followed):
    """Rows of a save in progress, batch by batch as they are acknowledged; ends with its commit. Iterate it once."""

    def __init__(self, download: Download, batches: AsyncGenerator[WireBatch | None, None]) -> None:
        self._download = download
        self._batches = batches

    async def __aiter__(self) -> AsyncIterator[Rows]:
        try:
            async for batch in self._batches:
                if batch is not None:
                    yield self._download.rows_of(batch)
        finally:
            await self.close()

    async def begin(self) -> Result:
        """Waits for the daemon's answer alone, not for rows: the save as it is then, in state UPLOADING, with its problem."""
        if self._download.header is None:
            await anext(self._batches)
        return self._download.known_header.result

    async def close(self) -> None:
        """Ends it early."""
        await self._batches.aclose()


class Opening:
    """A save that is about to be opened: await it, or enter it by ``async with``."""

    def __init__(self, open_writer: Callable[[], Awaitable[Writer]]) -> None:
        self._open_writer = open_writer
        self._writer: Writer | None = None

    def __await__(self) -> Generator[Any, None, Writer]:
        return self._open_writer().__await__()

    async def __aenter__(self) -> Writer:
        self._writer = await self._open_writer()
        return self._writer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._writer is not None, "it was entered"
        await self._writer.__aexit__(kind, error, trace)
