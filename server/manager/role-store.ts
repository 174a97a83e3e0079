import type { FileBlocks, StorageBackend } from '../backends/backend.js';
import { toStorageError, StorageError } from '../errors.js';
import { STORE_ANSWER_MS_MAX } from '../limits.js';
import type { Batch } from '../rows/batch.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { ListPastDamage } from './list-past-damage.js';
import type { ListedResults } from './listed-results.js';
import { ServedRows } from './served-rows.js';
import type { Role } from './stores.js';

/** A store that says which role served a read, and which parts could not be asked for a list. */
export interface RoleStore extends StorageBackend {
  read(...call: Parameters<StorageBackend['read']>): ServedRows;
  locate(...call: Parameters<StorageBackend['locate']>): ServedPlaces | undefined;
  list(...call: Parameters<StorageBackend['list']>): ListedResults;
}

/** Rows, or where they lie, and who serves them. */
export type ServedPlaces = ServedRows<Batch | FileBlocks>;

/**
 * Gives a backend its role: its reads and its failures say so, and while its circuit is open its calls fail at once. All else is
 * the backend's own.
 */
export function inRole(
  role: Role,
  backend: StorageBackend,
  breaker: CircuitBreaker,
  answerMsMax = STORE_ANSWER_MS_MAX,
): RoleStore {
  const guarded = <T>(act: () => Promise<T>): Promise<T> =>
    breaker.run(act).catch((error: unknown) => named(error, role));
  async function* guardedStream<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    const iterator = items[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await guarded(() => iterator.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  return {
    capabilities: backend.capabilities,
    openUpload: (spec, signal) => guarded(() => backend.openUpload(spec, signal)),
    uploads: (query, signal) => guardedStream(backend.uploads(query, signal)),
    async viewUpload(uploadId, signal) {
      const view = await guarded(() => backend.viewUpload(uploadId, signal));
      if (view.state === 'committed') return view;
      return { ...view, read: (selection, reading) => guardedStream(view.read(selection, reading)) };
    },
    abortUpload: (uploadId, signal) => guarded(() => backend.abortUpload(uploadId, signal)),
    stat: (key, revision, signal) => guarded(() => inTime(role, backend.stat(key, revision, signal), answerMsMax)),
    read: (manifest, selection, signal) =>
      new ServedRows(() => role, guardedStream(backend.read(manifest, selection, signal))),
    locate(manifest, selection, signal) {
      const places = backend.locate(manifest, selection, signal);
      return places && new ServedRows(() => role, guardedStream(places));
    },
    list: (query, signal) => new ListPastDamage(role, (from) => guardedStream(backend.list(from, signal)), query),
    changes: (query, signal) => guardedStream(backend.changes(query, signal)),
    changeNumbers: (signal) => guarded(() => backend.changeNumbers(signal)),
    annotate: (key, expected, edit, signal) => guarded(() => backend.annotate(key, expected, edit, signal)),
    delete: (key, expected, signal) => guarded(() => backend.delete(key, expected, signal)),
    moveOut: (key, revision, signal) => guarded(() => backend.moveOut(key, revision, signal)),
    // What fails may be the other store, which is read meanwhile.
    copyIn: (manifest, read, options, signal) => backend.copyIn(manifest, read, options, signal),
    setReplication: (key, revision, state, signal) =>
      guarded(() => backend.setReplication(key, revision, state, signal)),
    stats: (signal) => backend.stats(signal),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
}

/** A store's answer, or its failure where it hangs: a server that is gone without a word must not hold up who can be served elsewhere. */
async function inTime<T>(role: Role, answer: Promise<T>, msMax: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `The ${role} store has not answered for ${msMax / 1000} s. Try again later.`;
    timer = setTimeout(() => reject(new StorageError('BACKEND_UNAVAILABLE', message)), msMax);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether a store could not be asked. */
export function isUnavailable(error: unknown): error is StorageError {
  return error instanceof StorageError && error.reason === 'BACKEND_UNAVAILABLE';
}

/** Says in a store's failure which store it was. */
function named(error: unknown, role: Role): never {
  if (!(error instanceof StorageError)) throw error;
  const { reason, message, metadata } = toStorageError(error);
  if (reason !== 'BACKEND_UNAVAILABLE' && reason !== 'RESULT_CORRUPT') throw error;
  throw new StorageError(reason, message, { cause: error, metadata: { ...metadata, store: role } });
}
