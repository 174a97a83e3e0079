"""What goes wrong, as exceptions."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)


class OptistoreError(Exception):
    """A call that failed.

    The message says what was wrong, what was expected and what to do.
    """

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        #: The gRPC status code.
        self.code = code
        #: Name of an ErrorReason of the contract, such as ``KEY_INVALID``; None where the daemon did not answer.
        self.reason = reason
        #: Facts of the error, such as ``next_row``.
        self.metadata = dict(metadata or {})

    def __reduce__(self) -> tuple[object, ...]:
        # An exception of several arguments is else lost on its way between processes.
        return (type(self), (self.message, self.code, self.reason, self.metadata))

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may succeed a little later: the daemon is away or going, or the connection broke."""
        if self.code is grpc.StatusCode.UNAVAILABLE:
            return True
        # What a broken connection gives depends on where it broke; the daemon itself always says a reason.
        return self.reason is None and self.code in _BROKEN


def from_rpc(error: grpc.RpcError, address: str) -> OptistoreError:
    """Makes an OptistoreError of what grpc raised."""
    code = error.code()
    details = error.details() or ""
    for name, value in error.trailing_metadata() or ():
        if name == _DETAILS:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == "optistore":
                    return OptistoreError(details, code, info.reason, info.metadata)
    if code is grpc.StatusCode.UNAVAILABLE:
        details = (
            f"No daemon answers at {address} ({details}). Start one with `optistore serve`, or name another: "
            "connect(address), or OPTISTORE_SERVER."
        )
    return OptistoreError(details, code)
