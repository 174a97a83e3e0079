import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';

/** Kinds of records, as in faulty-files.c. */
const Kind = {
  OPEN: 1,
  WRITE: 2,
  SYNC: 3,
  RENAME: 4,
  LINK: 5,
  UNLINK: 6,
  MKDIR: 7,
  TRUNCATE: 9,
  RMDIR: 10,
  FAILED: 11,
  SYMLINK: 12,
};
/** The class of a call that failed, as in CallClass of faulty-daemon.ts. */
const SYNC_CLASS = 3;

/** One call that was made. */
export interface Call {
  readonly kind: number;
  /** The file; 0 where it is named by its path. */
  readonly inode: number;
  readonly offset: number;
  readonly path: string;
  readonly data: Buffer;
  /** Where its record ends in the log. */
  readonly end: number;
}

/** Reads a log of calls. */
export function parseCalls(log: Buffer): Call[] {
  const calls: Call[] = [];
  for (let at = 0; at + 28 <= log.byteLength;) {
    const pathAt = at + 28;
    const dataAt = pathAt + log.readUInt32LE(at + 4);
    const end = dataAt + log.readUInt32LE(at + 24);
    if (end > log.byteLength) break;
    calls.push({
      kind: log.readUInt32LE(at),
      inode: Number(log.readBigUInt64LE(at + 8)),
      offset: Number(log.readBigUInt64LE(at + 16)),
      path: log.toString('utf8', pathAt, dataAt),
      data: log.subarray(dataAt, end),
      end,
    });
    at = end;
  }
  return calls;
}

/** Whether a call changed something, in a file or of the names. */
export function isChange({ kind, offset }: Call): boolean {
  return kind !== Kind.SYNC && kind !== Kind.FAILED && (kind !== Kind.OPEN || offset === 1);
}

type Change = { readonly offset: number; readonly data: Buffer } | { readonly length: number };

class File {
  private space: Buffer = Buffer.alloc(0);
  private length = 0;
  pending: Change[] = [];

  get bytes(): Buffer {
    return this.space.subarray(0, this.length);
  }

  apply(change: Change): void {
    const end = 'length' in change ? change.length : change.offset + change.data.byteLength;
    if (end > this.space.byteLength) {
      const more = Buffer.alloc(end * 2);
      this.bytes.copy(more);
      this.space = more;
    }
    if ('data' in change) change.data.copy(this.space, change.offset);
    else this.space.fill(0, end);
    this.length = 'length' in change ? end : Math.max(this.length, end);
  }

  sync(): void {
    for (const change of this.pending) this.apply(change);
    this.pending = [];
  }

  /**
   * A sync failed: Linux takes the pages for clean then, and shows them until it drops them. What was written before gets to the
   * disk by no later sync, unless it is written anew.
   */
  failSync(): void {
    this.pending = this.pending.filter((change) => 'length' in change);
  }
}

/** Where a symbolic link leads. */
class Link {
  constructor(readonly target: string) {}
}

type Entry = File | Folder | Link;

/** A change of names. A rename between folders is one of both: it takes the old name away only where the new one is kept. */
interface Naming {
  readonly remove?: string;
  readonly add?: readonly [string, Entry];
  /** The other half of a rename between folders. */
  readonly needs?: { readonly folder: Folder; readonly naming: Naming };
}

class Folder {
  readonly live = new Map<string, Entry>();
  durable = new Map<string, Entry>();
  pending: Naming[] = [];

  change(naming: Naming): void {
    apply(naming, this.live);
    this.pending.push(naming);
  }

  /** Makes the first changes of names durable. */
  sync(count = this.pending.length): void {
    for (const naming of this.pending.splice(0, count)) {
      const { needs } = naming;
      if (needs !== undefined) needs.folder.sync(needs.folder.pending.indexOf(needs.naming) + 1);
      apply(naming, this.durable);
    }
  }
}

function apply({ remove, add }: Naming, names: Map<string, Entry>): void {
  if (remove !== undefined) names.delete(remove);
  if (add !== undefined) names.set(...add);
}

const SECTOR = 512;

/** A disk that forgets at a power cut what was not synced, and keeps all when a process is killed. */
export class RecordedDisk {
  private readonly root = new Folder();
  private readonly byInode = new Map<number, File | Folder>();

  constructor(private readonly folder: string) {}

  /** Does what a call did. */
  play(call: Call): void {
    const { kind, inode, offset, path, data } = call;
    if (kind === Kind.OPEN) this.open(path, inode, offset === 1);
    else if (kind === Kind.MKDIR) this.add(path, inode, new Folder());
    else if (kind === Kind.WRITE) this.file(inode).pending.push({ offset, data });
    else if (kind === Kind.TRUNCATE) this.file(inode).pending.push({ length: offset });
    else if (kind === Kind.SYNC) this.byInode.get(inode)?.sync();
    else if (kind === Kind.FAILED) this.failed(inode, offset);
    else if (kind === Kind.UNLINK || kind === Kind.RMDIR) this.parent(path).change({ remove: basename(path) });
    else if (kind === Kind.LINK)
      this.parent(data.toString()).change({ add: [basename(data.toString()), this.at(path)] });
    else if (kind === Kind.SYMLINK)
      this.parent(data.toString()).change({ add: [basename(data.toString()), new Link(path)] });
    else if (kind === Kind.RENAME) this.rename(path, data.toString());
  }

  private failed(inode: number, callClass: number): void {
    const node = this.byInode.get(inode);
    // Names are no pages: a later sync makes them durable.
    if (callClass === SYNC_CLASS && node instanceof File) node.failSync();
  }

  private open(path: string, inode: number, isNew: boolean): void {
    if (isNew) this.add(path, inode, new File());
    else if (path === this.folder) this.byInode.set(inode, this.root);
  }

  private add(path: string, inode: number, node: File | Folder): void {
    this.byInode.set(inode, node);
    this.parent(path).change({ add: [basename(path), node] });
  }

  private rename(from: string, to: string): void {
    const node = this.at(from);
    const [source, target] = [this.parent(from), this.parent(to)];
    const add = [basename(to), node] as const;
    if (source === target) return source.change({ remove: basename(from), add });
    const naming = { add };
    target.change(naming);
    source.change({ remove: basename(from), needs: { folder: target, naming } });
  }

  private file(inode: number): File {
    const file = this.byInode.get(inode);
    if (!(file instanceof File)) throw new Error(`the log writes to inode ${inode}, which is no file`);
    return file;
  }

  private at(path: string): Entry {
    let node: Entry | undefined = this.root;
    for (const name of relative(this.folder, path).split('/').filter(Boolean))
      node = node instanceof Folder ? node.live.get(name) : undefined;
    if (node === undefined) throw new Error(`the log names ${path}, which is not there`);
    return node;
  }

  private parent(path: string): Folder {
    const folder = this.at(dirname(path));
    if (!(folder instanceof Folder)) throw new Error(`${path} is in no folder`);
    return folder;
  }

  /** The files whose bytes, or whose names, are not all synced now. */
  unsynced(folder = this.root, path = this.folder): string[] {
    return [...folder.live].flatMap(([name, entry]) => {
      const at = join(path, name);
      if (entry instanceof Folder) return this.unsynced(entry, at);
      const isSynced = folder.durable.get(name) === entry && !(entry instanceof File && entry.pending.length > 0);
      return isSynced ? [] : [relative(this.folder, at)];
    });
  }

  /** Writes into a folder what the disk has when its process is killed now: all that was done. */
  kill(target: string): void {
    for (const node of this.nodes) node.sync();
    write(this.root, target);
  }

  private get nodes(): Set<File | Folder> {
    return new Set([this.root, ...this.byInode.values()]);
  }

  /**
   * Cuts the power, and writes what the disk has then into a folder. Of what was not synced the dice keep all, nothing or
   * any part: whole writes, some of their sectors, the first changes of names of each folder.
   */
  cutPower(target: string, roll: () => number): void {
    const mood = Math.floor(roll() * 4);
    for (const node of this.nodes) {
      if (node instanceof Folder)
        node.sync(Math.floor((mood === 0 ? 0 : mood === 1 ? 1 : roll()) * (node.pending.length + 0.999)));
      else tear(node, mood, roll);
    }
    write(this.root, target);
  }
}

function tear(file: File, mood: number, roll: () => number): void {
  for (const change of file.pending) {
    const fate = mood === 0 ? 0 : mood === 1 ? 1 : roll();
    if (fate > 0.66 || ('length' in change && fate > 0.33)) file.apply(change);
    else if (fate > 0.33 && 'data' in change) {
      for (let from = 0; from < change.data.byteLength;) {
        const to = Math.min(change.data.byteLength, from + SECTOR - ((change.offset + from) % SECTOR));
        if (roll() < 0.5) file.apply({ offset: change.offset + from, data: change.data.subarray(from, to) });
        from = to;
      }
    }
  }
}

function write(node: Entry, path: string): void {
  if (node instanceof Link) return symlinkSync(node.target, path);
  if (node instanceof File) return writeFileSync(path, node.bytes, { mode: 0o600 });
  mkdirSync(path, { recursive: true, mode: 0o700 });
  for (const [name, child] of node.durable) write(child, join(path, name));
}
