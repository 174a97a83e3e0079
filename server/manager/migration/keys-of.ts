import type { ListPosition, StorageBackend } from '../../backends/backend.js';

/** Keys that are held at once. */
const KEYS_AT_ONCE = 1000;

/**
 * Keys of a store's results that begin so, in order. They are listed in pieces: a list that stays open while results are copied would keep
 * the store from tidying up behind it.
 */
export async function* keysOf(store: StorageBackend, prefix: string, signal: AbortSignal): AsyncGenerator<string> {
  let after: ListPosition | undefined;
  for (;;) {
    const keys: string[] = [];
    const query = { prefix, filter: undefined, orderBy: 'key' as const, descending: false, ...(after && { after }) };
    for await (const { key } of store.list(query, signal)) {
      keys.push(key);
      if (keys.length === KEYS_AT_ONCE) break;
    }
    yield* keys;
    const last = keys.at(-1);
    if (last === undefined || keys.length < KEYS_AT_ONCE) return;
    after = { key: last, time: 0n };
  }
}
