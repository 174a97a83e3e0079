"""Which save of a key is gone on with."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from .errors import OptistoreError
from .v1.storage_service_pb2 import Upload

#: How long a writer that was closed, or killed, may seem to be connected: the daemon learns of it a little later.
LET_GO_S = 1.0
ASK_AGAIN_S = 0.05


def upload_to_resume(key: str, uploads: Sequence[Upload]) -> str | None:
    """The save of this key with the latest row; None where none is in progress.

    OptistoreError where a client is connected to it: nobody is taken over unasked.
    """
    of_key = [upload for upload in uploads if upload.key == key]
    if not of_key:
        return None
    newest = max(of_key, key=lambda upload: upload.update_time.ToNanoseconds())
    if newest.has_stream:
        raise OptistoreError(
            f"The save {newest.upload_id} of {key!r} has a writer that is connected. Stop that one first; or say "
            f"upload_id={newest.upload_id!r} to take the save over, or resume=False to begin another.",
            grpc.StatusCode.FAILED_PRECONDITION,
        )
    return newest.upload_id
