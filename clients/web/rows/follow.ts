import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { RowBatch } from '../../../proto/gen/optistore/v1/rows_pb.js';
import type { LoadHeader } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { daemon } from '../connection/daemon.js';
import { explain } from '../connection/errors.js';
import { heard } from '../connection/heard.js';
import { isResting, whileLookedAt } from '../connection/resting.js';
import { pause, retryDelayMs, until } from '../connection/wait.js';

/** What comes of a save that is followed. */
export type Followed =
  | { readonly case: 'header'; readonly header: LoadHeader }
  | { readonly case: 'batch'; readonly batch: RowBatch }
  /** The daemon is away, or the connection broke: it is tried again by itself. */
  | { readonly case: 'lost'; readonly message: string }
  | { readonly case: 'committed'; readonly result: Result };

const FIRST_WAIT_MS = 200;
const WAIT_MS_MAX = 3000;

/**
 * Follows the newest save of a key until its commit, whatever happens to the daemon meanwhile: rows come in order and without a
 * gap. While nobody looks at the page it lets go of the connection. Throws where it was aborted or has expired, and where there is
 * none: `explain` says which.
 */
export async function* followUpload(key: string, signal: AbortSignal): AsyncGenerator<Followed> {
  let uploadId = '';
  let nextRow = 0n;
  let failures = 0;
  for (;;) {
    await until(() => !isResting.value);
    using seen = whileLookedAt();
    try {
      const request = { key, follow: true, uploadId, firstRow: nextRow };
      const open = (ending: AbortSignal) => daemon.loadResult(request, { signal: ending });
      for await (const { message } of heard(open, AbortSignal.any([signal, seen.signal]))) {
        failures = 0;
        if (message.case === 'header') {
          uploadId = message.value.result?.uploadId ?? uploadId;
          yield { case: 'header', header: message.value };
        } else if (message.case === 'batch' && message.value.rowCount > 0) {
          nextRow = message.value.firstRow + BigInt(message.value.rowCount);
          yield { case: 'batch', batch: message.value };
        } else if (message.case === 'trailer' && message.value.result !== undefined) {
          yield { case: 'committed', result: message.value.result };
          return;
        }
      }
      throw new TypeError('The stream of rows ended before the commit.');
    } catch (error) {
      if (seen.signal.aborted && !signal.aborted) continue;
      const { isRetryable, reason, message } = explain(error);
      // An upload without a durable row is forgotten with its daemon; its writer opens it again.
      const isForgotten = reason === 'UPLOAD_NOT_FOUND' && uploadId !== '' && nextRow === 0n;
      if (signal.aborted || !(isRetryable || isForgotten)) throw error;
      yield { case: 'lost', message };
      await pause(retryDelayMs(failures++, FIRST_WAIT_MS, WAIT_MS_MAX), signal);
    }
  }
}
