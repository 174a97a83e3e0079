import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Level } from 'level';
import { StorageError } from '../../errors.js';
import { closeToOthers, syncDirectoryOf, syncFolder } from '../files.js';
import { diskOf } from '../room/disk.js';
import { Serial } from '../serial.js';
import type { Change } from './index-entries.js';
import { META_FORMAT } from './index-entries.js';
import { dataFiles } from './level-files/check-files.js';
import { loggedEntries } from './level-files/logged-entries.js';
import { indexError, isCorrupted, isLocked, openError } from './level-errors.js';
import type { Totals, TotalsPart } from './totals.js';

/** What is read of an index, in order of keys. */
export interface Range {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt: string;
  readonly reverse?: boolean;
}

/** Changes that are written in one go. */
interface Group {
  readonly changes: Change[];
  readonly parts: TotalsPart[];
  readonly written: Promise<void>;
}

/** Changes that are written in one go: what waits meanwhile shares the next one's sync. */
const CHANGES_PER_WRITE_MAX = 256;
/** What LevelDB writes when it is opened, besides what is in its logs. */
const OPENING_BYTES = 256 * 1024;

type Open = Level<string, Uint8Array>;

const levelAt = (path: string): Open =>
  new Level<string, Uint8Array>(path, { keyEncoding: 'utf8', valueEncoding: 'view' });

/**
 * LevelDB, whose writes are durable, or did not happen. After one that failed LevelDB takes no others, or writes them behind half a
 * record, where it would not find them again: so it is closed and opened anew, and what the failed write has left in its log is
 * taken back. Reads go on meanwhile, or wait.
 */
export class DurableLevel implements AsyncDisposable {
  private readonly serial = new Serial();
  private waiting: Group | undefined;
  /** Written with what changes them; undefined: they are not kept. */
  private totals: Totals | undefined;
  /** Set while it is opened anew. */
  private opening: Promise<void> | undefined;
  private isOpen = true;
  private isClosed = false;
  /** A write has failed: it is opened anew before the next. */
  private isSuspect = false;
  /** Keys of writes that have failed. */
  private readonly failedKeys = new Set<string>();
  /** What they had before. */
  private readonly before = new Map<string, Uint8Array | undefined>();

  private constructor(
    private readonly path: string,
    private level: Open,
  ) {}

  /** Opens it, or makes an empty one. BACKEND_LOCKED where another process has it open. */
  static async open(path: string): Promise<DurableLevel> {
    try {
      await makeIndex(path);
      // LevelDB makes it for all to read, with small results in it.
      await closeToOthers(path);
      return new DurableLevel(path, await openAt(path));
    } catch (error) {
      throw openError(path, error);
    }
  }

  /** Fails with BACKEND_LOCKED where another process has it open; changes nothing. */
  static async checkLock(path: string): Promise<void> {
    // What is there already is refused, as asked for here, but only once the lock is had.
    const level = new Level(path, { createIfMissing: false, errorIfExists: true });
    try {
      await level.open();
      await level.close();
    } catch (error) {
      if (isLocked(error)) throw openError(path, error);
    }
  }

  /** The value of a key. */
  get(key: string): Promise<Uint8Array | undefined> {
    return this.reading((level) => level.get(key));
  }

  /** The values of some keys. */
  getMany(keys: string[]): Promise<(Uint8Array | undefined)[]> {
    return this.reading((level) => level.getMany(keys));
  }

  private async reading<T>(read: (level: Open) => Promise<T>): Promise<T> {
    for (;;) {
      const level = await this.opened();
      try {
        return await read(level);
      } catch (error) {
        if (this.isCurrent(level)) throw indexError(error);
      }
    }
  }

  /** Keys and values. What changes meanwhile may be seen or not. */
  async *iterator(range: Range): AsyncGenerator<[string, Uint8Array]> {
    let rest = range;
    for (;;) {
      const level = await this.opened();
      try {
        for await (const entry of level.iterator(rest)) {
          rest = behind(range, entry[0]);
          yield entry;
        }
        return;
      } catch (error) {
        // Where it was opened anew, it goes on.
        if (this.isCurrent(level)) throw indexError(error);
      }
    }
  }

  async *keys(range: Range): AsyncGenerator<string> {
    for await (const [key] of this.iterator(range)) yield key;
  }

  async *values(range: Range): AsyncGenerator<Uint8Array> {
    for await (const [, value] of this.iterator(range)) yield value;
  }

  /** Makes changes, all or none; durable when it returns. `part`: what they add to the totals. */
  batch(changes: readonly Change[], part?: TotalsPart): Promise<void> {
    if ((this.waiting?.changes.length ?? 0) >= CHANGES_PER_WRITE_MAX) this.waiting = undefined;
    const group = (this.waiting ??= this.nextGroup());
    group.changes.push(...changes);
    if (part !== undefined) group.parts.push(part);
    return group.written;
  }

  /** From now on writes what changes the totals together with them. */
  keepTotals(totals: Totals): void {
    this.totals = totals;
  }

  private nextGroup(): Group {
    const [changes, parts]: [Change[], TotalsPart[]] = [[], []];
    const written = this.serial.run(() => {
      if (this.waiting?.changes === changes) this.waiting = undefined;
      return this.writeGroup(changes, parts);
    });
    return { changes, parts, written };
  }

  private async writeGroup(changes: Change[], parts: readonly TotalsPart[]): Promise<void> {
    const totals = parts.length === 0 ? undefined : this.totals?.after(parts);
    if (totals === undefined) return this.write(changes);
    await this.write([...changes, totals.toChange()]);
    this.totals = totals;
  }

  private async write(changes: Change[]): Promise<void> {
    try {
      await this.writeOnce(changes);
    } catch (error) {
      // Damage is mended at the next start.
      if (isCorrupted(error)) throw error;
      await this.writeOnce(changes).catch(async (second: unknown) => {
        // So that nothing of it is found when the daemon is killed now.
        if (this.isSuspect) await this.openAnew().catch(() => undefined);
        throw indexError(second);
      });
    }
  }

  private async writeOnce(changes: Change[]): Promise<void> {
    if (this.isSuspect) await this.openAnew();
    const level = await this.opened();
    try {
      await level.batch(changes, { sync: true });
    } catch (error) {
      this.isSuspect = !isCorrupted(error);
      for (const { key } of changes) this.failedKeys.add(key);
      throw error;
    }
  }

  /** Closes it and opens it again, as it was but for the writes that have failed. */
  private async openAnew(): Promise<void> {
    await this.checkRoom();
    if (this.isOpen) {
      const keys = [...this.failedKeys];
      const values = await this.level.getMany(keys);
      for (const [i, key] of keys.entries()) this.before.set(key, values[i]);
      this.failedKeys.clear();
      this.isOpen = false;
      this.opening = this.level.close().then(() => this.reopen());
    }
    const level = await this.opened();
    await putBack(level, this.before);
    this.before.clear();
    this.isSuspect = false;
  }

  /** LevelDB writes when it is opened: on a full disk it would stay closed, and could not be read either. */
  private async checkRoom(): Promise<void> {
    const files = await dataFiles(this.path);
    const logs = Object.entries(files).filter(([name]) => name.endsWith('.log'));
    const wanted = logs.reduce((sum, [, byteLength]) => sum + byteLength, OPENING_BYTES);
    const disk = await diskOf(this.path).catch(() => undefined);
    if (disk === undefined || disk.freeBytes >= wanted) return;
    throw new StorageError(
      'DISK_FULL',
      'The index could not be written, and the disk has no room to open it anew. Nothing acknowledged is lost: delete results or free room on the disk, then try again.',
    );
  }

  private async reopen(): Promise<void> {
    try {
      this.level = await openAt(this.path);
      this.isOpen = true;
    } catch (error) {
      throw openError(this.path, error);
    } finally {
      this.opening = undefined;
    }
  }

  /** LevelDB, when it is open; where it could not be opened, that is tried again. */
  private async opened(): Promise<Open> {
    if (this.isClosed) throw new StorageError('BACKEND_UNAVAILABLE', 'The store is closed.');
    if (!this.isOpen) await (this.opening ??= this.reopen());
    return this.level;
  }

  /** Whether what failed with it is its own failure: it was not closed to be opened anew. */
  private isCurrent(level: Open): boolean {
    return this.isClosed || (this.isOpen && level === this.level);
  }

  /** Gives the room of what was deleted back. */
  async compact(from: string, to: string): Promise<void> {
    await this.reading((level) => (level as unknown as Compacting).compactRange(from, to));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.serial.run(async () => {
      await this.opening?.catch(() => undefined);
      this.isClosed = true;
      if (this.isOpen) await this.level.close();
    });
  }
}

/** What LevelDB can; `level`'s types know only what browsers have as well. */
interface Compacting {
  compactRange(from: string, to: string): Promise<void>;
}

async function openAt(path: string): Promise<Open> {
  const logged = await loggedEntries(path);
  // It opens by itself, and makes a folder, from when there is an object of it.
  const level = levelAt(path);
  await level.open();
  try {
    // LevelDB leaves the name of its newest manifest to chance.
    await syncFolder(path);
    await putBack(level, logged);
    return level;
  } catch (error) {
    await level.close();
    throw error;
  }
}

/** Writes what differs in LevelDB as it is to be. */
async function putBack(level: Open, wanted: ReadonlyMap<string, Uint8Array | undefined>): Promise<void> {
  const keys = [...wanted.keys()];
  const found = await level.getMany(keys);
  const back = keys.flatMap((key, i): Change[] => {
    const value = wanted.get(key);
    if (isSame(found[i], value)) return [];
    return [value === undefined ? { type: 'del', key } : { type: 'put', key, value }];
  });
  if (back.length > 0) await level.batch(back, { sync: true });
}

/**
 * Makes an index where there is none, under another name first: LevelDB does not sync the first manifest that it writes,
 * and a power cut would leave a folder that can't be opened.
 */
async function makeIndex(path: string): Promise<void> {
  if (existsSync(path)) return;
  const temporary = `${path}.new`;
  await rm(temporary, { recursive: true, force: true });
  {
    await using level = levelAt(temporary);
    await level.open();
    await level.put(META_FORMAT, Buffer.from('1'), { sync: true });
  }
  await syncFolder(temporary);
  await rename(temporary, path);
  await syncDirectoryOf(path);
}

/** What of a range lies behind a key of it. */
function behind({ gt, gte, lt, reverse }: Range, key: string): Range {
  if (reverse === true) return { ...(gt !== undefined && { gt }), ...(gte !== undefined && { gte }), lt: key, reverse };
  return { gt: key, lt };
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;
}
