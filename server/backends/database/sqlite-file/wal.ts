import { open, type FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import { ifThere, readAt, writeFully } from '../../files.js';

/**
 * SQLite's write-ahead log: a header of 32 bytes, then frames of a header and a page. Each checksum goes on from the one before, so
 * that SQLite drops all that is behind a damaged frame, without a word.
 * Source: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC_LITTLE = 0x377f0682;
const MAGIC_BIG = 0x377f0683;
const USUAL_PAGE_BYTES = 4096;
const REWRITTEN_BYTES = 1 << 20;

type Checksum = readonly [number, number];

/** What a log is. */
export type WalState = 'absent' | 'whole' | 'damaged';

/**
 * Looks whether something was committed behind what does not check: that would be lost. Where it was the last commit, it looks like
 * one that was not finished.
 */
export async function checkWal(path: string): Promise<WalState> {
  const file = await ifThere(open(path, 'r'));
  if (file === undefined) return 'absent';
  await using closing = file;
  if ((await closing.stat()).size < HEADER_BYTES) return 'absent';
  return (await isDamaged(closing)) ? 'damaged' : 'whole';
}

/**
 * Writes a log again where it lies, durably. After a sync that failed its frames can be read for as long as the machine is up, and yet
 * be on no disk; no later sync tells, and at a power cut all that was committed behind them is lost. It takes no room.
 */
export async function rewriteWal(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  for (let at = 0; ; at += REWRITTEN_BYTES) {
    const bytes = await readAt(file, at, REWRITTEN_BYTES);
    await writeFully(file, [bytes], at);
    if (bytes.byteLength < REWRITTEN_BYTES) break;
  }
  await file.sync();
}

async function isDamaged(file: FileHandle): Promise<boolean> {
  const header = await readAt(file, 0, HEADER_BYTES);
  const isBig = header.readUInt32BE(0) === MAGIC_BIG;
  const isHeaderWhole =
    (isBig || header.readUInt32BE(0) === MAGIC_LITTLE) &&
    isSame(checksum([0, 0], header.subarray(0, 24), isBig), storedIn(header, 24));
  const pageBytes = isHeaderWhole ? header.readUInt32BE(8) : USUAL_PAGE_BYTES;
  const frameBytes = FRAME_HEADER_BYTES + pageBytes;
  let salts = isHeaderWhole ? header.subarray(16, 24) : undefined;
  let before = storedIn(header, 24);
  let damage: 'none' | 'in a commit' | 'behind it' = isHeaderWhole ? 'none' : 'behind it';
  for (let at = HEADER_BYTES; ; at += frameBytes) {
    const frame = await readAt(file, at, frameBytes);
    if (frame.byteLength < frameBytes) return false;
    salts ??= frame.subarray(8, 16);
    const stored = storedIn(frame, 16);
    const isOwn = frame.subarray(8, 16).equals(salts);
    const isWhole = isOwn && isSame(frameChecksum(before, frame, isBig), stored);
    // A commit is synced before the next begins: of what is behind it someone may have been told.
    if (isWhole && damage === 'behind it') return true;
    if (!isWhole && damage === 'none') damage = 'in a commit';
    if (isOwn && damage === 'in a commit' && frame.readUInt32BE(4) !== 0) damage = 'behind it';
    before = stored;
  }
}

function frameChecksum(before: Checksum, frame: Buffer, isBig: boolean): Checksum {
  return checksum(checksum(before, frame.subarray(0, 8), isBig), frame.subarray(FRAME_HEADER_BYTES), isBig);
}

function checksum([first, second]: Checksum, bytes: Buffer, isBig: boolean): Checksum {
  const copy = Buffer.from(Uint8Array.from(bytes).buffer);
  if (isBig !== (endianness() === 'BE')) copy.swap32();
  const words = new Uint32Array(copy.buffer, copy.byteOffset, copy.byteLength / 4);
  let [s0, s1] = [first, second];
  for (let i = 0; i < words.length; i += 2) {
    s0 = (s0 + (words[i] as number) + s1) >>> 0;
    s1 = (s1 + (words[i + 1] as number) + s0) >>> 0;
  }
  return [s0, s1];
}

function storedIn(bytes: Buffer, at: number): Checksum {
  return [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)];
}

function isSame(a: Checksum, b: Checksum): boolean {
  return a[0] === b[0] && a[1] === b[1];
}
