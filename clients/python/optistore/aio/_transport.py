"""Calls of a daemon, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import grpc

from .._calls import SERVICE, Call
from .._connection import Connection
from ..errors import OptistoreError, from_rpc
from ..v1.storage_service_pb2 import LoadResultRequest

T = TypeVar("T")


class Transport:
    """A connection to a daemon."""

    def __init__(self, connection: Connection) -> None:
        self._metadata = connection.metadata
        #: Where the daemon is.
        self.address = connection.address
        self.is_closed = False
        self._connection = connection
        self._opened: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def _channel(self) -> grpc.aio.Channel:
        """Of the event loop that first uses it; RuntimeError in another one."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise RuntimeError("a client of optistore.aio is of the event loop that used it first: connect in each loop anew")
        if self._opened is None:
            self._loop = loop
            target, options, credentials = self._connection.address, self._connection.options, self._connection.credentials
            self._opened = (
                grpc.aio.insecure_channel(target, options)
                if credentials is None
                else grpc.aio.secure_channel(target, credentials, options)
            )
        return self._opened

    async def close(self) -> None:
        """Ends all calls."""
        self.is_closed = True
        if self._opened is not None:
            await self._opened.close()

    def save(self) -> Any:
        """Begins a save: a stream of bytes, written and iterated."""
        stub = self._channel.stream_stream(SERVICE + "SaveResult", None, None)
        return stub(metadata=self._metadata)

    def load(self, request: LoadResultRequest) -> Any:
        """Begins a load: gives its messages as bytes."""
        stub = self._channel.unary_stream(SERVICE + "LoadResult", None, None)
        return stub(request.SerializeToString(), metadata=self._metadata)

    async def call(self, call: Call[T]) -> T:
        """Calls an rpc. OptistoreError."""
        stub = self._channel.unary_unary(SERVICE + call.name, type(call.request).SerializeToString, call.response.FromString)
        try:
            return call.take(await stub(call.request, metadata=self._metadata))
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from error

    async def stream(self, call: Call[T]) -> AsyncGenerator[T, None]:
        """Calls an rpc that answers with a stream. OptistoreError. Left early, it is cancelled."""
        stub = self._channel.unary_stream(SERVICE + call.name, type(call.request).SerializeToString, call.response.FromString)
        answers = stub(call.request, metadata=self._metadata)
        try:
            async for answer in answers:
                yield call.take(answer)
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from error
        finally:
            answers.cancel()

    async def last(self, call: Call[T], on_progress: Callable[[T], object] | None) -> T:
        """The last message of a stream; the others are told on the way."""
        last: T | None = None
        async for last in self.stream(call):
            if on_progress is not None:
                on_progress(last)
        if last is None:
            raise OptistoreError(f"{call.name} ended without an answer.", grpc.StatusCode.UNAVAILABLE)
        return last
