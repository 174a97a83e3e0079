import { expect, vi } from 'vitest';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import type { ListOrder, StorageBackend, Upload } from '../../server/backends/backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import { StorageError, type Reason } from '../../server/errors.js';
import { ReplicationMode as Mode } from '../../proto/gen/optistore/v1/result_pb.js';
import { ResultCache } from '../../server/manager/cache/result-cache.js';
import { composed, type Composition } from '../../server/manager/compose.js';
import { newestOf } from '../../server/manager/repair/repair-copy.js';
import { StorageManager } from '../../server/manager/storage-manager.js';
import { compareKeys } from '../../server/text-order.js';
import { nanoseconds } from '../../server/times.js';
import { all, lineRows, RUNNING, uploadSpec } from '../backends/runs.js';
import { failing, Outage } from './outages.js';

/** The keys of the model: few, so that changes meet. */
export const KEYS = ['a', 'b', 'b/c'] as const;
export type Key = (typeof KEYS)[number];

/** What a revision shows: the values of x, and a tag; undefined: deleted. */
export type Content = { readonly values: readonly number[]; readonly tag: string } | undefined;

/** A key as its clients know it. */
export interface Known {
  /** What is shown; undefined: it never was. */
  shown: { revision: number; content: Content } | undefined;
  /** It is in the cache alone, above this: what is left when the process ends. */
  pinnedAbove: { below: Known['shown'] } | undefined;
  /** The greatest revision that anyone was told of. */
  told: number;
  /** All that was shown, by revision. */
  history: Map<number, Content>;
}

/** An upload that is not committed. */
export interface OpenUpload {
  readonly key: Key;
  readonly spec: ReturnType<typeof uploadSpec>;
  readonly role: 'primary' | 'cache';
  readonly base: Known['shown'];
  readonly values: readonly number[];
  upload: Upload;
}

const memory = (): MemoryBackend => new MemoryBackend({ max_memory_mb: 16 });

/** A composition over stores that fail when told to, and the model of what it is to show. */
export class World {
  readonly outages = { primary: new Outage(), secondary: new Outage() };
  readonly known = new Map<Key, Known>(
    KEYS.map((key) => [key, { shown: undefined, pinnedAbove: undefined, told: 0, history: new Map() }]),
  );
  readonly uploads: OpenUpload[] = [];
  private rawPrimary = memory();
  private readonly rawSecondary = memory();
  private pins = memory();
  private composition: Composition;
  manager: StorageManager;
  private uploadNumber = 0;

  constructor(private readonly mode: ReplicationMode) {
    [this.composition, this.manager] = this.compose();
  }

  private compose(): [Composition, StorageManager] {
    const { outages, mode } = this;
    const stores = {
      primary: failing(() => this.rawPrimary, outages.primary),
      secondary: failing(() => this.rawSecondary, outages.secondary),
      pinned: this.pins,
    };
    const composition = composed(stores, new ResultCache(1024 * 1024), mode);
    // The worker stays at rest: `replicate` does its work at a known time.
    vi.spyOn(composition.parts?.outbox as object as { start(): void }, 'start').mockReturnValue();
    return [composition, new StorageManager(composition)];
  }

  of(key: Key): Known {
    return this.known.get(key) as Known;
  }

  isDown(role: 'primary' | 'secondary'): boolean {
    return this.outages[role].isDown;
  }

  /** A tag or an upload's id that nothing else has. */
  fresh(): string {
    return `n${this.uploadNumber++}`;
  }

  /** Ends all outages; time goes on, so that the stores are asked again. */
  async up(): Promise<void> {
    for (const outage of [this.outages.primary, this.outages.secondary]) outage.end();
    vi.setSystemTime(Date.now() + 3000);
    await this.listed('key', false, 10);
    await this.composition.parts?.repairs.settled();
  }

  /** Does what the outbox does, once. */
  async replicate(): Promise<void> {
    try {
      for await (const pending of this.composition.stores.primary.changes({ after: 0n, pending: true }, RUNNING))
        await this.composition.parts?.outbox.copyNow(pending, RUNNING);
    } catch (error) {
      expectReason(error, ['BACKEND_UNAVAILABLE']);
    }
  }

  /** Waits for repairs in the background. */
  async settle(): Promise<void> {
    await this.composition.parts?.repairs.settled();
  }

  /** What still waits to be copied, and why. */
  async unreplicated(): Promise<string[]> {
    const pending = await all(this.rawPrimary.changes({ after: 0n, pending: true }, RUNNING));
    const failure = this.composition.parts?.outbox.counts().lastFailure;
    return pending.map(({ key, revision, kind }) => `${key} ${revision} ${RevisionKind[kind]}: ${failure}`);
  }

  /** Another process on the same stores: what was in memory alone is gone. */
  async restart(): Promise<void> {
    await this.manager.close();
    this.pins = memory();
    [this.composition, this.manager] = this.compose();
    for (const known of this.known.values()) {
      if (known.pinnedAbove === undefined) continue;
      known.shown = known.pinnedAbove.below;
      known.pinnedAbove = undefined;
      this.forgetNewer(known);
    }
    for (const [i, open] of [...this.uploads.entries()].reverse()) {
      if (open.role === 'cache') this.uploads.splice(i, 1);
      else if (!this.isDown('primary')) open.upload = await this.reopen(open);
    }
  }

  async reopen({ spec }: OpenUpload): Promise<Upload> {
    return this.manager.openUpload({ ...spec, expectedRevision: undefined }, RUNNING);
  }

  /** The primary loses all it has; what the secondary has is left. */
  async emptyPrimary(): Promise<void> {
    this.rawPrimary = memory();
    this.uploads.length = 0;
    for (const [key, known] of this.known) {
      known.pinnedAbove = undefined;
      known.shown = await this.inSecondary(key, known);
    }
    await this.restart();
    for (const known of this.known.values()) this.forgetNewer(known);
  }

  private async inSecondary(key: Key, { history }: Known): Promise<Known['shown']> {
    const copy = await newestOf(this.rawSecondary, key, RUNNING);
    if (copy === undefined || copy.kind === RevisionKind.MOVED) return undefined;
    const revision = Number(copy.revision);
    if (copy.kind === RevisionKind.DELETED) return { revision, content: undefined };
    expect(history.has(revision), `the secondary has ${key} at revision ${revision}, which nobody made`).toBe(true);
    return { revision, content: history.get(revision) };
  }

  /** What is lost with a store or a process was told, but does not count any more. */
  private forgetNewer(known: Known): void {
    const newest = known.shown?.revision ?? 0;
    for (const revision of known.history.keys()) if (revision > newest) known.history.delete(revision);
    known.told = newest;
  }

  /** Whether the newest of a key, a result or a deletion, is in the cache alone, and goes with the process. */
  async isInCacheAlone(key: Key): Promise<boolean> {
    const pin = await newestOf(this.pins, key, RUNNING);
    if (pin === undefined || pin.kind === RevisionKind.MOVED) return false;
    return ((await newestOf(this.rawPrimary, key, RUNNING))?.revision ?? 0n) < pin.revision;
  }

  /** Where a key's rows are to be found when the primary answers. */
  async whereabouts(key: Key): Promise<'primary' | 'moved' | 'lost'> {
    const newest = await newestOf(this.rawPrimary, key, RUNNING);
    if (newest === undefined) return 'lost';
    return newest.kind === RevisionKind.MOVED ? 'moved' : 'primary';
  }

  /** What the manager shows of a key. */
  async shows(key: Key, revision?: number): Promise<{ revision: number; content: Content; isStale: boolean }> {
    const manifest = await this.manager.stat(key, revision, RUNNING);
    const isStale = this.manager.isStale(manifest);
    return { revision: Number(manifest.revision), content: await this.contentOf(manifest), isStale };
  }

  async contentOf(manifest: Manifest): Promise<Content> {
    const rowCount = Number(manifest.rowCount);
    const values: number[] = [];
    for await (const batch of this.manager.read(manifest, { columns: [0], firstRow: 0, rowCount }, RUNNING)) {
      expect(batch.firstRow).toBe(values.length);
      const bytes = Uint8Array.from(batch.columns[0]?.values ?? []);
      values.push(...new Float64Array(bytes.buffer));
    }
    return { values, tag: manifest.tags['tag'] ?? '' };
  }

  /** All pages of a list. */
  async listed(
    orderBy: ListOrder,
    descending: boolean,
    pageSize: number,
  ): Promise<{ manifests: Manifest[]; unreachable: Set<string> }> {
    const manifests: Manifest[] = [];
    const unreachable = new Set<string>();
    for (;;) {
      const last = manifests.at(-1);
      const time =
        orderBy === 'key' ? 0n : nanoseconds(orderBy === 'commit_time' ? last?.commitTime : last?.updateTime);
      const after = last && { after: { key: last.key, time } };
      const list = this.manager.list({ prefix: '', filter: undefined, orderBy, descending, ...after }, RUNNING);
      let count = 0;
      for await (const manifest of list) {
        manifests.push(manifest);
        if (++count === pageSize) break;
      }
      for (const role of list.unreachable) unreachable.add(role);
      if (count < pageSize) return { manifests, unreachable };
    }
  }

  async close(): Promise<void> {
    await this.manager.close();
    for (const store of [this.rawPrimary, this.rawSecondary, this.pins] as StorageBackend[])
      await store[Symbol.asyncDispose]();
  }

  /** Opens an upload and appends rows that no other upload has. */
  async open(
    key: Key,
    role: 'primary' | 'cache',
    more: { append: boolean; isChecked: boolean; rowCount: number; isReplicated: boolean },
  ): Promise<OpenUpload> {
    const { shown } = this.of(key);
    const replication = role === 'primary' && more.isReplicated ? Mode.ASYNC : Mode.UNSPECIFIED;
    const expectedRevision = more.isChecked ? (shown?.content === undefined ? 0 : shown.revision) : undefined;
    const tag = this.fresh();
    const spec = uploadSpec(key, tag, { append: more.append, expectedRevision, replication, tags: { tag } });
    const upload = await this.manager.openUpload(spec, RUNNING, role);
    const rows = lineRows(upload.nextRow, more.rowCount, 1000 + this.uploadNumber);
    const x = new Float64Array(rows.columns[0]?.values.slice().buffer as ArrayBuffer);
    await upload.append(rows);
    await upload.sync();
    const values = [...((more.append ? shown?.content?.values : undefined) ?? []), ...x];
    return { key, spec, role, base: shown, values, upload };
  }
}

export function orderOf(manifests: readonly Manifest[], orderBy: ListOrder, descending: boolean): Manifest[] {
  const timeOf = ({ commitTime, updateTime }: Manifest) =>
    orderBy === 'key' ? 0n : nanoseconds(orderBy === 'commit_time' ? commitTime : updateTime);
  const sorted = [...manifests].sort((a, b) => {
    const [aTime, bTime] = [timeOf(a), timeOf(b)];
    return aTime === bTime ? compareKeys(a.key, b.key) : aTime < bTime ? -1 : 1;
  });
  return descending ? sorted.reverse() : sorted;
}

/** Lets an error be only one of these. */
export function expectReason(error: unknown, reasons: readonly Reason[]): void {
  if (error instanceof StorageError && reasons.includes(error.reason)) return;
  throw error;
}
