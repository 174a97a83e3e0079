"""Saves a run while it is computed, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import grpc

from .._calls import OutcomeName, outcome_of, result_sets_of
from .._columns import Appended
from .._retry import Backoff
from .._upload import OfUpload, Upload
from ..errors import OptistoreError, from_rpc
from ..row_numbers import RowsOfSet
from ..v1.result_pb2 import Result, ResultSet
from ..v1.storage_service_pb2 import SaveOpen, SaveResultResponse

#: Opens a stream of bytes: with ``write``, ``cancel``, and answers to iterate.
OpenStream = Callable[[], Any]


class Writer(OfUpload):
    """A save: see optistore.Writer, whose methods these are, awaited. Of one event loop, and of one task at a time."""

    def __init__(
        self, open_stream: OpenStream, request: SaveOpen, address: str, retry_s: float,
        on_ack: Callable[[int], object] | None = None,
        on_reconnect: Callable[[OptistoreError], object] | None = None,
    ) -> None:  # fmt: skip
        self._open_stream = open_stream
        self._address = address
        self._upload = Upload(request, on_ack)
        self._on_reconnect = on_reconnect
        self._backoff = Backoff(retry_s)
        self._waiters: list[asyncio.Future[None]] = []
        self._failure: OptistoreError | None = None
        self._closed = False
        self._runner: asyncio.Task[None] | None = None

    async def begin(self) -> Writer:
        """Opens the stream; for ``Client.save`` only."""
        try:
            self._run()
            await self._until(lambda: self._upload.was_opened)
        except BaseException:
            # Nobody has this writer: its stream would keep the upload for good.
            await self.abandon()
            raise
        return self

    async def append(self, rows: Appended) -> None:
        """Adds rows; returns when there is room for more. They are durable by the next ack, flush or commit."""
        self._check()
        was_idle = not self._upload.has_work
        self._upload.append(rows)
        if was_idle or self._runner is None:
            self._run()
        if not self._upload.has_room:
            self._notify()
            await self._until(lambda: self._upload.has_room)

    async def flush(self) -> int:
        """Returns, with their number, when all rows appended so far are durable."""
        self._check()
        rows = self._upload.flush()
        if self._upload.acked < rows:
            self._run()
            await self._until(lambda: self._upload.acked >= rows)
        return self._upload.acked

    async def commit(
        self,
        outcome: OutcomeName = "finished",
        result_sets: Mapping[str, RowsOfSet] | Iterable[ResultSet] | None = None,
    ) -> Result:
        """Ends the run and makes it a result, with named subsets of its rows where given. Idempotent."""
        self._check()
        if self._upload.committed is None:
            self._upload.commit(outcome_of(outcome), result_sets_of(result_sets))
            self._run()
            await self._until(lambda: self._upload.committed is not None)
        assert self._upload.committed is not None
        return self._upload.committed

    async def close(self) -> None:
        """Lets go of the upload without committing it: what was appended is made durable, and it can be resumed.

        OptistoreError where it can't be made durable; the upload is let go of nevertheless.
        """
        if self._closed:
            return
        try:
            # A failure was told to who appended or committed.
            if self._failure is None and self._upload.committed is None:
                await self.flush()
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Lets go of the upload at once: what was not acknowledged may be lost; the rest can be resumed."""
        self._closed = True
        self._notify()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def __aenter__(self) -> Writer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.commit()
        finally:
            # What went wrong already is what is told.
            with contextlib.suppress(OptistoreError):
                await self.close()
        self._note_on(error)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise ValueError("the writer is closed")

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._check()
            await self._change(None)

    async def _change(self, seconds: float | None) -> None:
        """Waits until something changes, or for so long."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await asyncio.wait([waiter], timeout=seconds)

    def _notify(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _run(self) -> None:
        """Sees to it that a stream runs. One that ended as idle is opened again only when there is something to send."""
        self._notify()
        if self._runner is None:
            self._runner = asyncio.create_task(self._run_streams())

    async def _run_streams(self) -> None:
        try:
            while await self._run_stream():
                pass
        except OptistoreError as error:
            self._failure = error
        except Exception as error:
            self._failure = OptistoreError(f"The save failed: {error!r}.", grpc.StatusCode.INTERNAL)
            self._failure.__cause__ = error
        finally:
            self._runner = None
            self._notify()

    async def _run_stream(self) -> bool:
        """One stream; gives whether another is to follow."""
        upload = self._upload
        try:
            await self._converse()
            return False
        except OptistoreError as caught:
            error = caught
        if not upload.broke(error, self._closed):
            return False
        if self._on_reconnect is not None:
            self._on_reconnect(error)
        await asyncio.sleep(self._backoff.failed(upload.with_hint(error)))
        return not self._closed

    async def _converse(self) -> None:
        stream = self._open_stream()
        #: What went wrong where messages are made: the daemon will not answer that.
        sent_wrong: list[Exception] = []
        sending = asyncio.create_task(self._send(stream, sent_wrong))
        try:
            async for content in stream:
                response = SaveResultResponse.FromString(content)
                if self._upload.received(response):
                    self._backoff.succeeded()
                self._notify()
                if self._upload.committed is not None:
                    return
        except (grpc.RpcError, asyncio.CancelledError) as error:
            if sent_wrong:
                raise sent_wrong[0] from None
            if isinstance(error, asyncio.CancelledError):
                raise
            raise from_rpc(error, self._address) from error
        finally:
            sending.cancel()
            stream.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._notify()
        # Closed by the daemon without a word.
        raise OptistoreError("The daemon ended the save.", grpc.StatusCode.UNAVAILABLE)

    async def _send(self, stream: Any, sent_wrong: list[Exception]) -> None:
        """Sends what is there, at the pace of the daemon. A stream that broke is told of by who reads it."""
        await stream.write(self._upload.open_request)
        while True:
            try:
                message = self._upload.next_message()
            except Exception as error:
                sent_wrong.append(error)
                stream.cancel()
                return
            if message is None:
                await self._change(self._upload.linger_s() if self._upload.is_open else None)
                continue
            if self._upload.has_room:
                self._notify()
            await stream.write(message)
