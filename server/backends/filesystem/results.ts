import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { type ReplicationState } from '../../../proto/gen/optistore/v1/result_pb.js';
import { isCorrupt, StorageError, throwIfCancelled, unlessDamaged } from '../../errors.js';
import { matches } from '../../filter/matches.js';
import type { ListQuery } from '../backend.js';
import { entryDamaged, resultNotFound, revisionNotFound } from '../result-errors.js';
import { SerialByName } from '../serial.js';
import type { Publication, Results } from '../uploads/upload-store.js';
import type { ChangeLog, LoggedChange } from './change-log.js';
import { folderName, numberName, sidecarOf } from './names.js';
import type { ResultFolders, Slot, SlotFile } from './result-folders.js';
import { ResultIndex } from './result-index.js';

/** What is made together with a manifest. */
export interface Change {
  /** Put into its slot. */
  readonly files?: readonly SlotFile[];
  /** Names what is prepared to who may take it away: see ResultFolders.unstage. */
  readonly tag?: string;
  /** Called when all is prepared and before it becomes visible; throws where it must not. */
  readonly guard?: () => Promise<void>;
  /** Called once it is visible and durable. */
  readonly after?: (slot: Slot) => Promise<void>;
}

/** What is published of no upload. */
const NO_TAG = 'change';
/** Each attempt that fails is one that succeeded in another process. */
const ATTEMPTS_MAX = 1000;
/** Results whose folders are read at once. */
const READ_AT_ONCE = 16;

/** The results of a store: what their folders say, and the order of their changes. */
export class FilesystemResults implements Results<Change> {
  private readonly keys = new SerialByName();
  private readonly index = new ResultIndex();
  /** Slots that this process has just made: they need not be read again. */
  private readonly made = new Map<string, Slot>();
  /** Folders that may have slots that are superseded, or what a process left that has ended. */
  readonly crowded = new Set<string>();
  /** Folders whose newest slot can't be read, and why. */
  private readonly unreadable = new Map<string, string>();
  private newestNumber = 0n;

  constructor(
    readonly folders: ResultFolders,
    private readonly log: ChangeLog,
  ) {}

  /** Reads the log and all folders; changes whose process ended before it told of them are told now. */
  async open(): Promise<void> {
    await this.refresh();
    for (const folder of await this.folders.folders()) {
      const slots = await this.folders.slots(folder);
      const newest = slots.at(-1);
      if (newest === undefined) continue;
      if (slots.length > 1 || (await this.folders.hasPrepared(folder))) this.crowded.add(folder);
      if ((this.index.of(folder)?.slot ?? 0) < newest && !this.unreadable.has(folder)) await this.add(folder, newest);
    }
    await this.refresh();
  }

  /** Takes what all processes have changed since. */
  refresh(): Promise<void> {
    return this.log.refresh((changes) => this.apply(changes));
  }

  /** Takes what is new in the log: of each folder, its greatest slot, under the number that this one was told with first. */
  private async apply(changes: readonly LoggedChange[]): Promise<void> {
    const latest = new Map<string, LoggedChange>();
    for (const change of changes) {
      const { folder, slot, number } = change;
      const known = latest.get(folder) ?? this.index.of(folder);
      if (known === undefined || slot > known.slot) {
        latest.set(folder, change);
        this.newestNumber = number;
      } else if (slot === known.slot) latest.set(folder, { folder, slot, number: known.number });
    }
    const waiting = [...latest.values()];
    for (let i = 0; i < waiting.length; i += READ_AT_ONCE)
      await Promise.all(waiting.slice(i, i + READ_AT_ONCE).map((change) => this.take(change)));
  }

  private async take({ folder, slot, number }: LoggedChange): Promise<void> {
    const own = numberedName(folder, slot);
    const made = this.made.get(own);
    this.made.delete(own);
    if (slot > 1) this.crowded.add(folder);
    try {
      // Gone: it was superseded, and what did so has its own line.
      const read = made ?? (await this.folders.load(folder, slot)) ?? (await this.folders.newest(folder));
      if (read !== undefined) this.index.set({ ...read, number: slot }, number);
      this.unreadable.delete(folder);
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      this.unreadable.set(folder, error.message);
      // Where nothing tells the key any more, lists come upon the folder's name.
      const key = this.index.of(folder)?.key ?? (await this.folders.keyOf(folder)) ?? folder;
      this.index.setDamaged(folder, slot, key, number);
    }
  }

  /** The newest revision or marker of a key. RESULT_CORRUPT. */
  async newest(key: string): Promise<Manifest | undefined> {
    return (await this.newestSlot(key))?.manifest;
  }

  private async newestSlot(key: string): Promise<Slot | undefined> {
    const slot = await namedDamage(key, this.folders.newest(folderName(key)));
    if (slot === undefined) return undefined;
    slot.manifest.changeNumber = await this.tell(slot);
    return slot;
  }

  /** Tells of a slot whose process may have ended, or failed, before it was durable. */
  private async add(folder: string, slot: number): Promise<void> {
    await this.folders.settle(folder, slot);
    await this.log.append(folder, slot);
  }

  /** The number of a slot that is visible. Where its process has not told of it, it is told now: to tell twice does no harm. */
  private async tell(slot: Slot): Promise<bigint> {
    const { folder, number } = slot;
    for (let attempt = 0; attempt < 2; attempt++) {
      if ((this.index.of(folder)?.slot ?? 0) < number) await this.refresh();
      const known = this.index.of(folder);
      if (known !== undefined && known.slot >= number) return known.number;
      await this.add(folder, number);
    }
    await this.refresh();
    return this.index.of(folder)?.number ?? 0n;
  }

  /** StorageBackend.stat. */
  async stat(key: string, revision: number | undefined): Promise<Manifest> {
    const newest = await this.newest(key);
    if (newest === undefined) throw resultNotFound(key);
    if (revision === undefined || newest.revision === BigInt(revision)) return newest;
    const folder = folderName(key);
    for (const number of (await this.folders.slots(folder)).reverse()) {
      const older = await this.folders.load(folder, number);
      if (older?.manifest.revision === BigInt(revision)) return older.manifest;
    }
    throw revisionNotFound(key, revision, newest.revision);
  }

  /** What an upload became, as far as it can still be loaded: its slot is the first that names the upload. */
  async commitOf(key: string, uploadId: string): Promise<Slot | undefined> {
    const folder = folderName(key);
    for (const number of await this.folders.slots(folder)) {
      const slot = await this.folders.load(folder, number);
      if (slot?.manifest.kind !== RevisionKind.COMMITTED || slot.manifest.uploadId !== uploadId) continue;
      // Its process may have ended before it was sure.
      await this.folders.settle(folder, number);
      slot.manifest.changeNumber = await this.tell(slot);
      return slot;
    }
    return undefined;
  }

  /** Makes what `decide` gives the key's newest; it is asked again where another process was quicker. See Results. */
  publish(
    key: string,
    decide: (before: Manifest | undefined) => Promise<Publication<Change> | undefined>,
  ): Promise<Manifest> {
    return this.publishOver(key, () => this.newestSlot(key), decide);
  }

  /** The same over a newest revision that can't be read, which then counts as none: its copy is to be put in its place. */
  overDamaged(): Results<Change> {
    const readable = (key: string) => unlessDamaged(this.newestSlot(key));
    return {
      newest: async (key) => (await readable(key))?.manifest,
      publish: (key, decide) => this.publishOver(key, () => readable(key), decide),
    };
  }

  private publishOver(
    key: string,
    newest: () => Promise<Slot | undefined>,
    decide: (before: Manifest | undefined) => Promise<Publication<Change> | undefined>,
  ): Promise<Manifest> {
    return this.keys.run(key, async () => {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const last = (await this.folders.slots(folderName(key))).at(-1) ?? 0;
        const before = await newest();
        if (before !== undefined && before.number !== last) continue;
        const next = await decide(before?.manifest);
        if (next === undefined) return before?.manifest as Manifest;
        if (await this.make(key, last, next)) return next.manifest;
      }
      throw new StorageError('BACKEND_UNAVAILABLE', `"${key}" is changed by others all the time. Try again.`);
    });
  }

  /** Makes the slot behind `last`; false where that is no longer the newest. */
  private async make(key: string, last: number, { manifest, changes }: Publication<Change>): Promise<boolean> {
    const folder = await this.folders.ensure(key);
    const number = last + 1;
    const isLast = async () => ((await this.folders.slots(folder)).at(-1) ?? 0) === last;
    const files = [...this.sharedFiles(manifest), ...changes.flatMap((change) => change.files ?? [])];
    manifest.segments = manifest.segments.map((segment) => ({
      ...segment,
      name: numberedName(numberName(number), baseName(segment.name)),
    }));
    const tag = changes.find((change) => change.tag !== undefined)?.tag ?? NO_TAG;
    let stage: string | undefined;
    try {
      stage = await this.folders.stage(folder, number, tag, manifest, files);
    } catch (error) {
      // Rows that it shares were removed: they are no longer those of the newest, or the upload went on elsewhere.
      if (!(await isLast())) return false;
      for (const { guard } of changes) await guard?.();
      throw error;
    }
    if (stage === undefined) return false;
    try {
      // Looked at when the stage is there: what ends it from now on takes the stage away, and the rename fails.
      for (const { guard } of changes) await guard?.();
      if (!(await isLast())) return false;
      if (!(await this.folders.place(stage, folder, number))) return false;
      stage = undefined;
    } finally {
      if (stage !== undefined) await this.folders.unstage(folder, (staged, of) => staged === number && of === tag);
    }
    await this.announce({ folder, number, manifest });
    for (const { after } of changes) await after?.({ folder, number, manifest });
    return true;
  }

  /** The slot is visible and durable: it gets its number. */
  private async announce(slot: Slot): Promise<void> {
    const { folder, number, manifest } = slot;
    this.made.set(numberedName(folder, number), slot);
    await this.log.append(folder, number);
    await this.folders.point(folder, number);
    manifest.changeNumber = await this.tell(slot);
    this.made.delete(numberedName(folder, number));
  }

  /** Files of rows that the manifest has of a slot before. */
  private sharedFiles(manifest: Manifest): SlotFile[] {
    return manifest.segments
      .filter(({ name }) => name.includes('/'))
      .flatMap(({ name }) => [name, sidecarOf(name)])
      .map((name) => ({ source: this.folders.pathOf(manifest.key, name), name: baseName(name) }));
  }

  /** StorageBackend.list. */
  async *list(query: ListQuery, signal: AbortSignal): AsyncGenerator<Manifest> {
    await this.refresh();
    for (const { folder, slot, number, key, times } of this.index.list(query)) {
      throwIfCancelled(signal);
      const manifest = (await namedDamage(key, this.slotOrNewest(folder, slot), times[query.orderBy]))?.manifest;
      if (manifest !== undefined) manifest.changeNumber = number;
      if (manifest?.kind === RevisionKind.COMMITTED && matches(query.filter, manifest)) yield manifest;
    }
  }

  private async slotOrNewest(folder: string, slot: number): Promise<Slot | undefined> {
    return (await this.folders.load(folder, slot)) ?? (await this.folders.newest(folder));
  }

  /** StorageBackend.changes. */
  async *changes(query: { after: bigint; pending?: boolean }, signal: AbortSignal): AsyncGenerator<Manifest> {
    await this.refresh();
    for (const { folder, slot, number, isPending, key } of this.index.changes(query.after)) {
      throwIfCancelled(signal);
      if (query.pending === true && !isPending) continue;
      const manifest = (await unlessDamaged(namedDamage(key, this.folders.load(folder, slot))))?.manifest;
      // Gone: what superseded it is told in its turn. Or it does not check.
      if (manifest === undefined) continue;
      manifest.changeNumber = number;
      yield manifest;
    }
  }

  /** StorageBackend.changeNumbers. */
  async changeNumbers(): Promise<{ floor: bigint; newest: bigint }> {
    await this.refresh();
    return { floor: 0n, newest: this.newestNumber };
  }

  /** StorageBackend.setReplication. */
  setReplication(key: string, revision: bigint, state: ReplicationState): Promise<void> {
    return this.keys.run(key, async () => {
      const slot = await this.newestSlot(key);
      if (slot?.manifest.revision !== revision || slot.manifest.replication === state) return;
      slot.manifest.replication = state;
      await this.folders.rewrite(slot);
      // The same slot once more: its number stays.
      await this.log.append(slot.folder, slot.number);
      await this.refresh();
    });
  }

  /** Figures of all results that this process knows of. */
  async stats() {
    await this.refresh();
    const { sizeBytes, resultCount, pendingCount } = this.index;
    const [first] = this.unreadable.values();
    const failure = first === undefined ? undefined : `${this.unreadable.size} results can't be read. ${first}`;
    return { sizeBytes, resultCount, pendingCount, oldestPendingMs: this.index.oldestPendingMs(), failure };
  }
}

/** What is read of a key; where that does not check, the failure says of which key, and at which place in a list. */
async function namedDamage<T>(key: string, read: Promise<T>, time?: bigint): Promise<T> {
  try {
    return await read;
  } catch (error) {
    throw isCorrupt(error) ? entryDamaged(key, time, error) : error;
  }
}

function numberedName(first: string, second: string | number): string {
  return `${first}/${second}`;
}

function baseName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}
