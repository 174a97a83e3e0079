import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { withCommit } from '../after-commit.js';
import { closeAll } from '../close-all.js';
import type { Origins } from '../origins.js';
import type { Repairs } from '../repair/repairs.js';
import type { RoleStore } from '../role-store.js';
import { ServedRows } from '../served-rows.js';
import { AbsentResults } from './absent-results.js';
import { FallbackList } from './fallback-list.js';
import { readFromBoth, type RowsEvents } from './fallback-rows.js';
import { statOfBoth } from './fallback-stat.js';

/** How often the secondary stood in, since the daemon started. */
export interface FallbackCounts {
  /** Calls that it answered in place of the primary. */
  fallbackCount: number;
  /** Loads that it went on with. */
  continuedCount: number;
}

/** What the fallback works with. */
export interface FallbackParts {
  readonly origins: Origins;
  readonly repairs: Repairs;
  readonly counts: FallbackCounts;
}

/**
 * Lets the secondary serve what the primary can't: when it is down, lacks a key that it should have, or gives corrupt data, also in
 * the middle of a load; and what was moved to the secondary on purpose. What the primary deleted stays deleted. Asks for the repair of
 * what the primary has lost. Saves go to the primary alone.
 */
export function fallback(primary: RoleStore, secondary: RoleStore, parts: FallbackParts): RoleStore {
  const { origins, repairs, counts } = parts;
  const absent = new AbsentResults(primary, secondary, repairs);

  const eventsOf = ({ key }: Manifest, asked: (store: RoleStore) => void): RowsEvents => ({
    asked,
    tookOver(store, isContinued) {
      if (store !== secondary) return;
      if (isContinued) counts.continuedCount++;
      else counts.fallbackCount++;
    },
    failed(store, { reason }) {
      if (store === primary && reason !== 'BACKEND_UNAVAILABLE') repairs.ask(key, true);
    },
  });

  return {
    ...primary,
    async openUpload(spec, signal) {
      const upload = await absent.prepared(spec, signal, () => primary.openUpload(spec, signal));
      if (upload.committed !== undefined) return upload;
      return withCommit(upload, (commit) => absent.prepared(spec, signal, () => upload.commit(commit)));
    },
    stat: (key, revision, signal) => statOfBoth(primary, secondary, parts, key, revision, signal),
    read(manifest, selection, signal) {
      const { role } = origins.of(manifest);
      let serving = role === 'secondary' ? secondary : primary;
      const stores = [serving, serving === primary ? secondary : primary] as const;
      const events = eventsOf(manifest, (store) => (serving = store));
      const rows = readFromBoth(stores, manifest, selection, events, signal);
      return new ServedRows(() => (serving === primary ? 'primary' : 'secondary'), rows);
    },
    // Where that fails, rows are read: see readLocally.
    locate: (manifest, selection, signal) =>
      (origins.of(manifest).role === 'secondary' ? secondary : primary).locate(manifest, selection, signal),
    list: (query, signal) => new FallbackList(primary, secondary, origins, repairs, query, signal),
    annotate: (key, expectedRevision, edit, signal) =>
      absent.whereItIs(key, true, signal, async (found) => {
        if (found === undefined) return primary.annotate(key, expectedRevision, edit, signal);
        const manifest = await absent.annotate(found.why, key, expectedRevision, edit, signal);
        return found.why === 'moved' ? origins.mark(manifest, 'secondary') : manifest;
      }),
    delete: (key, expectedRevision, signal) =>
      absent.whereItIs(key, false, signal, async (found) => {
        if (found !== undefined) return absent.delete(key, expectedRevision, signal);
        await absent.prepareDelete(key, expectedRevision, signal);
        return primary.delete(key, expectedRevision, signal);
      }),
    [Symbol.asyncDispose]: () => closeAll([primary, secondary]),
  };
}
