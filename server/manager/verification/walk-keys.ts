import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { damagedKeyOf, throwIfCancelled } from '../../errors.js';
import { compareKeys } from '../../text-order.js';

/** A walk may take days: it holds so many keys in memory, and no list of a store open for longer than it takes to read them. */
const PAGE_KEYS = 500;

/** Keys of a store's results in order, those among them whose entries in the store do not check. */
export async function* keysOf(store: StorageBackend, prefix: string, signal: AbortSignal): AsyncGenerator<string> {
  let after: string | undefined;
  for (;;) {
    const page = await pageBehind(store, prefix, after, signal);
    yield* page;
    if (page.length === 0) return;
    after = page.at(-1);
  }
}

async function pageBehind(
  store: StorageBackend,
  prefix: string,
  after: string | undefined,
  signal: AbortSignal,
): Promise<string[]> {
  const order = { prefix, filter: undefined, orderBy: 'key' as const, descending: false };
  const place = after === undefined ? {} : { after: { key: after, time: 0n } };
  const page: string[] = [];
  try {
    for await (const { key } of store.list({ ...order, ...place }, signal)) {
      throwIfCancelled(signal);
      page.push(key);
      if (page.length === PAGE_KEYS) break;
    }
  } catch (error) {
    const damaged = damagedKeyOf(error);
    if (damaged === undefined || (after !== undefined && compareKeys(damaged, after) <= 0)) throw error;
    page.push(damaged);
  }
  return page;
}

/** Keys of a store's results whose entries do not check, in order. `changes` passes them over. */
export async function* damagedKeysOf(
  store: StorageBackend,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<string> {
  for (let after = ''; ;) {
    const order = { prefix, filter: undefined, orderBy: 'key' as const, descending: false };
    const place = after === '' ? {} : { after: { key: after, time: 0n } };
    try {
      for await (const { key } of store.list({ ...order, ...place }, signal)) {
        throwIfCancelled(signal);
        after = key;
      }
      return;
    } catch (error) {
      const damaged = damagedKeyOf(error);
      if (damaged === undefined || compareKeys(damaged, after) <= 0) throw error;
      yield damaged;
      after = damaged;
    }
  }
}

/** Two ordered lists of keys as one; what both have, once. */
export async function* mergedKeys(a: AsyncIterable<string>, b: AsyncIterable<string>): AsyncGenerator<string> {
  const [left, right] = [a[Symbol.asyncIterator](), b[Symbol.asyncIterator]()];
  try {
    let [x, y] = [await left.next(), await right.next()];
    while (x.done !== true || y.done !== true) {
      const order = x.done === true ? 1 : y.done === true ? -1 : compareKeys(x.value, y.value);
      yield order <= 0 ? (x.value as string) : (y.value as string);
      if (order <= 0) x = await left.next();
      if (order >= 0) y = await right.next();
    }
  } finally {
    await left.return?.();
    await right.return?.();
  }
}

/** Keys that a store has a marker of a deletion for, in the order of their changes; one that changes meanwhile may come twice. */
export async function* deletedKeysOf(
  store: StorageBackend,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let after = 0n;
  for (;;) {
    const page: string[] = [];
    let count = 0;
    for await (const { key, kind, changeNumber } of store.changes({ after }, signal)) {
      throwIfCancelled(signal);
      after = changeNumber;
      if (kind === RevisionKind.DELETED && key.startsWith(prefix)) page.push(key);
      if (++count === PAGE_KEYS) break;
    }
    yield* page;
    if (count < PAGE_KEYS) return;
  }
}
