"""Where the daemon is, and who calls: addresses, TLS and tokens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import grpc

from .errors import OptistoreError

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
DEFAULT_ADDRESS = "127.0.0.1:50051"


@dataclass(frozen=True)
class Tls:
    """PEM files by which a daemon is known, and by which a client makes itself known."""

    #: Authorities that the daemon's certificate may come from. None: those that gRPC trusts.
    ca: str | os.PathLike[str] | None = None
    #: The client's own certificate and its key, where the daemon asks for one.
    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None


@dataclass(frozen=True)
class Connection:
    """What a channel is made with."""

    address: str
    credentials: grpc.ChannelCredentials | None
    metadata: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, int], ...]


def connection_to(address: str | None, token: str | None, tls: bool | Tls | None, insecure: bool | None) -> Connection:
    """Completes what the caller says by the environment. OptistoreError where a token would go unencrypted."""
    environment = os.environ
    address = address or environment.get("OPTISTORE_SERVER") or DEFAULT_ADDRESS
    token = token if token is not None else environment.get("OPTISTORE_TOKEN", "")
    tls = tls if tls is not None else _tls_of_environment()
    insecure = insecure if insecure is not None else environment.get("OPTISTORE_INSECURE") == "true"
    if token and not tls and not insecure and not is_local(address):
        raise OptistoreError(
            f"The token would go to {address} unencrypted, for anyone on the way to read. Use TLS (tls=True, or "
            "OPTISTORE_TLS_CA), or say insecure=True if that is meant.",
            grpc.StatusCode.FAILED_PRECONDITION,
        )
    options = (
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        # Each client has a connection of its own: closing one disturbs no other.
        ("grpc.use_local_subchannel_pool", 1),
        # A proxy of the environment would read the token and the rows, also of a daemon on this machine.
        ("grpc.enable_http_proxy", 1 if tls else 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # How long a daemon that is busy has to answer when a connection is made.
        ("grpc.min_reconnect_backoff_ms", 20_000),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # A daemon that is gone without a word would be waited for, for ever.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 40_000),
        ("grpc.http2.max_pings_without_data", 0),
    )
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    return Connection(address, _credentials(tls), metadata, options)


def is_local(address: str) -> bool:
    """Whether an address is on this machine."""
    if address.startswith("unix:"):
        return True
    host = address.rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _tls_of_environment() -> bool | Tls:
    ca, cert, key = (os.environ.get(f"OPTISTORE_TLS_{name}") or None for name in ("CA", "CERT", "KEY"))
    if ca is None and cert is None:
        return os.environ.get("OPTISTORE_TLS") == "true"
    return Tls(ca, cert, key)


def _credentials(tls: bool | Tls) -> grpc.ChannelCredentials | None:
    if tls is False:
        return None
    files = Tls() if tls is True else tls
    return grpc.ssl_channel_credentials(_pem(files.ca), _pem(files.key), _pem(files.cert))


def _pem(path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise OptistoreError(
            f"The TLS file {os.fspath(path)} can't be read: {error.strerror}.", grpc.StatusCode.FAILED_PRECONDITION
        ) from error
