"""Saves a run while it is computed."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import grpc

from ._calls import OutcomeName, outcome_of, result_sets_of
from ._columns import Appended
from ._retry import Backoff
from ._upload import OfUpload, Upload
from .errors import OptistoreError, from_rpc
from .row_numbers import RowsOfSet
from .v1.result_pb2 import Result, ResultSet
from .v1.storage_service_pb2 import SaveOpen, SaveResultResponse

#: Opens a stream: takes the requests, gives the answers as bytes; can be cancelled.
OpenStream = Callable[[Iterator[bytes]], Any]


class Writer(OfUpload):
    """A save. Keeps what is not acknowledged; when the connection or the daemon breaks it connects again, and goes on.

    As a context manager it commits at the end; where the block raises, the rows are made durable and the upload is left
    open, to be resumed by ``client.save`` with the same ``upload_id``. Threads may share a writer: their rows come in the order
    of their calls.
    """

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
        # Entered itself: within the code of a condition's ``with``, Ctrl-C could leave it locked for good.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._failure: OptistoreError | None = None
        self._closed = False
        self._stream: Any = None
        self._runner: threading.Thread | None = None
        #: What went wrong where messages are made; gRPC only says that something did.
        self._send_error: BaseException | None = None
        self._process = os.getpid()
        try:
            with self._lock:
                self._run()
                self._until(lambda: self._upload.was_opened)
        except BaseException:
            # Nobody has this writer: its stream would keep the upload for good.
            self.abandon()
            raise

    @property
    def next_row(self) -> int:
        """Number of the row that the next append begins with; after a resume, the number of rows that are there."""
        with self._lock:
            return super().next_row

    def append(self, rows: Appended) -> None:
        """Adds rows; returns when there is room for more. They are durable by the next ack, flush or commit.

        ``rows`` is one row, ``{"x": 0.5, "f": 1.0}``; columns, ``{"x": [0.5, 0.25], "f": array}``; a list of rows; an array of
        two dimensions, whose columns are the variables in the problem's order, or one with named fields; or a DataFrame.
        None, masked values and pandas' NA are missing; NaN is a value of a float64 variable. TypeError or ValueError where
        it does not fit; nothing is added then.
        """
        upload = self._upload
        with self._lock:
            self._check()
            was_idle = not upload.has_work
            upload.append(rows)
            if was_idle or self._runner is None:
                self._run()
            if not upload.has_room:
                self._changed.notify_all()
                self._until(lambda: upload.has_room)

    def flush(self) -> int:
        """Returns, with their number, when all rows appended so far are durable."""
        with self._lock:
            self._check()
            rows = self._upload.flush()
            if self._upload.acked < rows:
                self._run()
                self._until(lambda: self._upload.acked >= rows)
            return self._upload.acked

    def commit(
        self,
        outcome: OutcomeName = "finished",
        result_sets: Mapping[str, RowsOfSet] | Iterable[ResultSet] | None = None,
    ) -> Result:
        """Ends the run and makes it a result, with named subsets of its rows where given. Idempotent."""
        sets = result_sets_of(result_sets)
        with self._lock:
            self._check()
            if self._upload.committed is None:
                self._upload.commit(outcome_of(outcome), sets)
                self._run()
                self._until(lambda: self._upload.committed is not None)
            assert self._upload.committed is not None
            return self._upload.committed

    def close(self) -> None:
        """Lets go of the upload without committing it: what was appended is made durable, and it can be resumed.

        OptistoreError where it can't be made durable; the upload is let go of nevertheless.
        """
        if self._closed or self._process != os.getpid():
            return
        try:
            # A failure was told to who appended or committed.
            if self._failure is None and self._upload.committed is None:
                self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Lets go of the upload at once: what was not acknowledged may be lost; the rest can be resumed."""
        # A process that was forked has no part of it.
        if self._process != os.getpid():
            return
        with self._lock:
            self._closed = True
            self._changed.notify_all()
            runner, stream = self._runner, self._stream
        if stream is not None:
            stream.cancel()
        # A callback is called by it, and can't wait for its end.
        if runner is not None and runner is not threading.current_thread():
            runner.join()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            # What went wrong already is what is told.
            with contextlib.suppress(OptistoreError):
                self.close()
        self._note_on(error)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise ValueError("the writer is closed")
        if self._process != os.getpid():
            raise RuntimeError("a writer is of the process that opened it: one that was forked has none of its threads")

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._check()
            if threading.current_thread() is self._runner:
                raise RuntimeError("a callback of the writer is called by the thread that it would wait for")
            self._changed.wait()

    def _run(self) -> None:
        """Sees to it that a stream runs. One that ended as idle is opened again only when there is something to send."""
        self._changed.notify_all()
        if self._runner is None:
            self._runner = threading.Thread(target=self._run_streams, name="optistore-save", daemon=True)
            self._runner.start()

    def _run_streams(self) -> None:
        failure: OptistoreError | None = None
        while True:
            try:
                while self._run_stream():
                    pass
            except OptistoreError as error:
                failure = error
            except BaseException as error:
                failure = OptistoreError(f"The save failed: {error!r}.", grpc.StatusCode.INTERNAL)
                failure.__cause__ = error
            with self._lock:
                is_over = failure is not None or self._closed or self._upload.committed is not None
                # Rows may have come since the stream ended as idle.
                if is_over or not self._upload.has_work:
                    self._failure = failure
                    self._runner = None
                    self._changed.notify_all()
                    return

    def _run_stream(self) -> bool:
        """One stream; gives whether another is to follow."""
        upload = self._upload
        try:
            self._converse()
            return False
        except OptistoreError as caught:
            error = caught
        with self._lock:
            self._changed.notify_all()
            if not upload.broke(error, self._closed):
                return False
        if self._on_reconnect is not None:
            self._on_reconnect(error)
        self._wait(self._backoff.failed(upload.with_hint(error)))
        return not self._closed

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._lock:
            while not self._closed and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _converse(self) -> None:
        turn = object()
        self._turn = turn
        stream = self._open_stream(self._requests(turn))
        with self._lock:
            self._stream = stream
            if self._closed:
                stream.cancel()
        try:
            for content in stream:
                self._receive(SaveResultResponse.FromString(content))
                if self._upload.committed is not None or self._closed:
                    return
        except grpc.RpcError as error:
            if self._closed:
                return
            if self._send_error is not None:
                raise self._send_error from None
            raise from_rpc(error, self._address) from error
        finally:
            with self._lock:
                self._turn = None
                self._stream = None
                self._changed.notify_all()
            stream.cancel()
        if self._closed:
            return
        # Closed by the daemon without a word.
        raise OptistoreError("The daemon ended the save.", grpc.StatusCode.UNAVAILABLE)

    _turn: object | None = None

    def _receive(self, response: SaveResultResponse) -> None:
        with self._lock:
            if self._upload.received(response):
                self._backoff.succeeded()
            self._changed.notify_all()

    def _requests(self, turn: object) -> Iterator[bytes]:
        """What gRPC sends, at the pace of the daemon: it asks for the next when the one before has gone."""
        yield self._upload.open_request
        while True:
            with self._lock:
                message = None
                while message is None:
                    # Before anything is taken: of a stream that is over, it would never be sent.
                    if self._turn is not turn or self._closed:
                        return
                    try:
                        message = self._upload.next_message()
                    except BaseException as error:
                        self._send_error = error
                        raise
                    if message is None:
                        self._changed.wait(self._upload.linger_s() if self._upload.is_open else None)
                if self._upload.has_room:
                    self._changed.notify_all()
            yield message
