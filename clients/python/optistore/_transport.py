"""Calls of a daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc

from ._calls import SERVICE, Call
from ._connection import Connection
from .errors import OptistoreError, from_rpc
from .v1.storage_service_pb2 import LoadResultRequest

T = TypeVar("T")


class Transport:
    """A connection to a daemon."""

    def __init__(self, connection: Connection) -> None:
        self._metadata = connection.metadata
        #: Where the daemon is.
        self.address = connection.address
        self.is_closed = False
        target, options, credentials = (
            connection.address,
            connection.options,
            connection.credentials,
        )
        self._channel = (
            grpc.insecure_channel(target, options) if credentials is None else grpc.secure_channel(target, credentials, options)
        )

    def close(self) -> None:
        """Ends all calls."""
        self.is_closed = True
        self._channel.close()

    def save(self, requests: Iterator[bytes]) -> Any:
        """Begins a save: takes the requests, gives the answers, both as bytes."""
        stub = self._channel.stream_stream(SERVICE + "SaveResult", None, None)
        return stub(requests, metadata=self._metadata)

    def load(self, request: LoadResultRequest) -> Any:
        """Begins a load: gives its messages as bytes."""
        stub = self._channel.unary_stream(SERVICE + "LoadResult", None, None)
        return stub(request.SerializeToString(), metadata=self._metadata)

    def call(self, call: Call[T]) -> T:
        """Calls an rpc. OptistoreError."""
        stub = self._channel.unary_unary(SERVICE + call.name, type(call.request).SerializeToString, call.response.FromString)
        try:
            return call.take(stub(call.request, metadata=self._metadata))
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from error

    def stream(self, call: Call[T]) -> Iterator[T]:
        """Calls an rpc that answers with a stream. OptistoreError. Left early, it is cancelled."""
        stub = self._channel.unary_stream(SERVICE + call.name, type(call.request).SerializeToString, call.response.FromString)
        answers = stub(call.request, metadata=self._metadata)
        try:
            for answer in answers:
                yield call.take(answer)
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from error
        finally:
            answers.cancel()

    def last(self, call: Call[T], on_progress: Callable[[T], object] | None) -> T:
        """The last message of a stream; the others are told on the way."""
        last: T | None = None
        for last in self.stream(call):
            if on_progress is not None:
                on_progress(last)
        if last is None:
            raise OptistoreError(f"{call.name} ended without an answer.", grpc.StatusCode.UNAVAILABLE)
        return last
