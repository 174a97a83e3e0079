import { open, type FileHandle } from 'node:fs/promises';
import { StorageError } from '../../errors.js';
import { crc32 } from '../../rows/checksum.js';
import { readAt, syncDirectoryOf, writeFully } from '../files.js';
import { Serial } from '../serial.js';
import { hexOf } from './checked-json.js';

/** A change as the log has it: a slot of a result's folder became visible, or what it says of replication changed. */
export interface LoggedChange {
  readonly folder: string;
  readonly slot: number;
  /** Where its line ends, in bytes: each is greater than all before. */
  readonly number: bigint;
}

const READ_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * The order of all changes of a store, in one file that every process appends to with O_APPEND, which is atomic in a local file
 * system. A line is a checksum, a slot and a folder; one that was torn by a crash does not check and is passed over. The file
 * only grows, some 80 bytes a change.
 */
export class ChangeLog implements AsyncDisposable {
  private position = 0;
  private readonly serial = new Serial();
  /** Whether a sync of what is new has failed: here, or in a process that was killed before it could write it again. */
  private isDoubtful = true;

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** Opens the log, or makes it. */
  static async open(path: string): Promise<ChangeLog> {
    const file = await open(path, 'a+', 0o600);
    await syncDirectoryOf(path);
    return new ChangeLog(path, file);
  }

  /** Adds a change. Not durable, and without a number, before it is read. */
  async append(folder: string, slot: number): Promise<void> {
    const text = `${slot} ${folder}`;
    // The newline before it ends a line that a crash has torn.
    await this.file.appendFile(`\n${hexOf(crc32(Buffer.from(text)))} ${text}\n`);
  }

  /**
   * Gives what is new to `apply`, piece by piece and in order, and resolves when all is applied that was appended before the
   * call. What is told is durable: a number that was seen is never given to another change, also after a power cut.
   */
  refresh(apply: (changes: readonly LoggedChange[]) => Promise<void>): Promise<void> {
    return this.serial.run(async () => {
      const { size } = await this.file.stat();
      if (size < this.position)
        throw new StorageError(
          'BACKEND_UNAVAILABLE',
          'The log of changes became shorter while the store was open: someone replaced it. Start the daemon again.',
        );
      if (size === this.position) return;
      await this.sync(size);
      while (this.position < size) {
        const bytes = await readAt(this.file, this.position, Math.min(READ_BYTES, size - this.position));
        const end = bytes.lastIndexOf(NEWLINE) + 1;
        // A line that is being written; no line is as long as a piece.
        if (end === 0 && bytes.byteLength < READ_BYTES) return;
        const length = end === 0 ? bytes.byteLength : end;
        await apply(parseLines(bytes.subarray(0, length), this.position));
        this.position += length;
      }
    });
  }

  private async sync(size: number): Promise<void> {
    const isDoubtful = this.isDoubtful;
    this.isDoubtful = true;
    if (isDoubtful) await this.writeAgain(size);
    await this.file.datasync();
    this.isDoubtful = false;
  }

  /** What a failed sync may have lost, no other sync brings: it is written again in its place, as others append behind it. */
  private async writeAgain(size: number): Promise<void> {
    await using file = await open(this.path, 'r+');
    for (let at = this.position; at < size; at += READ_BYTES)
      await writeFully(file, [await readAt(file, at, Math.min(READ_BYTES, size - at))], at);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.serial.run(() => this.file.close());
  }
}

function parseLines(bytes: Buffer, position: number): LoggedChange[] {
  const changes: LoggedChange[] = [];
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; start = end + 1, end = bytes.indexOf(NEWLINE, start)) {
    const line = bytes.toString('latin1', start, end);
    const [, crc, text, slot, folder] = /^([0-9a-f]{8}) ((\d{1,15}) ([A-Za-z0-9_-]+))$/.exec(line) ?? [];
    if (text === undefined || folder === undefined || hexOf(crc32(Buffer.from(text))) !== crc) continue;
    changes.push({ folder, slot: Number(slot), number: BigInt(position + end) });
  }
  return changes;
}
