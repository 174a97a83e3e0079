import { open, readdir, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { UploadRecord } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageError } from '../../errors.js';
import { ALIGNMENT_BYTES } from '../../rows/alignment.js';
import { RunSummary } from '../../rows/summary.js';
import type { BlockEntry, BlockHeader } from '../blocks/block-format.js';
import { decodeColumns, headerBytesOf, nameInHead, parseHeader, SEGMENT_HEAD_BYTES } from '../blocks/block-format.js';
import { milliseconds } from '../../times.js';
import { readAt, syncDirectoryOf } from '../files.js';
import { rowsLost } from '../uploads/upload-errors.js';
import { isLost, type Frame } from './journal.js';
import { SegmentWriter } from './segment-writer.js';
import type { Recovered } from './upload-writer.js';

/** The header of most blocks is had with one read of so much: an upload of 10 GB has ten thousand. */
const HEADER_READ_BYTES = 8 * 1024;

/** What is known of an upload's rows besides what is found. */
export interface RowsBounds {
  /** Rows beyond are not trusted. */
  readonly rowsMax?: number;
  /** So many were acked. */
  readonly ackedRows?: number;
  /** What is known of a segment that was written by this process; undefined: it was another one's. */
  readonly segment?: SegmentBounds;
}

/** What is known of a segment. */
export interface SegmentBounds {
  /** Rows up to this one are durable there. */
  readonly durableRows: number;
  /** Something with it has failed, so that it gets a new file. */
  readonly isDoubtful: boolean;
}

/**
 * Finds what is left of an upload: the blocks of its segment that check, then the journal's frames that follow
 * them. What lies behind is a torn write that no ack covers; unless more rows were acked, which is damage.
 */
export async function recoverUpload(
  folder: string,
  segmentName: string,
  record: UploadRecord,
  frames: readonly Frame[],
  { rowsMax = Infinity, ackedRows = 0, segment: bounds }: RowsBounds = {},
): Promise<{ recovered: Omit<Recovered, 'isPersisted'>; unneeded: Frame[]; damage: StorageError | undefined }> {
  const path = join(folder, segmentName);
  const checkpoint = record.checkpoint;
  const summary = new RunSummary(record.problem?.variables ?? [], checkpoint?.columns ?? record.base?.columns);
  const scanned = (await readdir(folder)).includes(segmentName)
    ? await scanSegment(
        path,
        segmentName,
        Number(checkpoint?.sizeBytes ?? 0),
        bounds?.durableRows ?? rowsMax,
        summary,
        record,
      )
    : undefined;
  const last = scanned?.blocks.at(-1);
  let nextRow = last === undefined ? Number(record.base?.rowCount ?? 0) : last.firstRow + last.rowCount;
  const kept: Frame[] = [];
  const unneeded: Frame[] = [];
  for (const frame of [...frames].sort((a, b) => a.firstRow - b.firstRow)) {
    if (!isLost(frame) && frame.firstRow === nextRow && nextRow + frame.rowCount <= rowsMax) {
      kept.push(frame);
      nextRow += frame.rowCount;
    } else {
      unneeded.push(frame);
    }
  }
  const leastRows = Math.max(ackedRows, Number(checkpoint?.rowCount ?? 0));
  const isDamaged = nextRow < leastRows || scanned?.isOthers === true;
  const damage = isDamaged ? rowsLost(record, nextRow) : undefined;
  // Nothing is cut off of what is damaged.
  const segment =
    scanned && damage === undefined
      ? await goOn(path, segmentName, scanned.blocks, bounds, Number(checkpoint?.sizeBytes ?? 0))
      : undefined;
  const updateTimeMs = Math.max(milliseconds(record.updateTime), scanned?.modifiedMs ?? 0);
  return { recovered: { segment, summary, frames: kept, nextRow, updateTimeMs }, unneeded, damage };
}

/** Goes on with a segment, of which all blocks are durable then; undefined: there are none, and no file. */
async function goOn(
  path: string,
  name: string,
  blocks: BlockEntry[],
  bounds: SegmentBounds | undefined,
  checkpointBytes: number,
): Promise<SegmentWriter | undefined> {
  if (blocks.length === 0) {
    await unlink(path);
    await syncDirectoryOf(path);
    return undefined;
  }
  if (bounds?.isDoubtful === true) return SegmentWriter.renew(path, name, blocks);
  return SegmentWriter.reopen(path, name, blocks, bounds === undefined ? checkpointBytes : Infinity);
}

async function scanSegment(
  path: string,
  name: string,
  trustedBytes: number,
  rowsMax: number,
  summary: RunSummary,
  record: UploadRecord,
): Promise<{ blocks: BlockEntry[]; modifiedMs: number; isOthers: boolean }> {
  await using file = await open(path, 'r');
  const modifiedMs = Math.floor((await file.stat()).mtimeMs);
  const named = nameInHead(await readAt(file, 0, SEGMENT_HEAD_BYTES));
  if (named !== undefined && named !== '' && named !== name) return { blocks: [], modifiedMs, isOthers: true };
  const blocks: BlockEntry[] = [];
  const columns = (record.problem?.variables ?? []).map((_, index) => index);
  let at = SEGMENT_HEAD_BYTES;
  let nextRow = Number(record.base?.rowCount ?? 0);
  for (;;) {
    const header = await readHeader(file, at);
    if (header === undefined) break;
    const { entry } = header;
    if (entry.firstRow !== nextRow || nextRow + entry.rowCount > rowsMax || header.columns.length !== columns.length)
      break;
    if (at + entry.blockBytes > trustedBytes && !(await addBlock(file, header, columns, summary))) break;
    blocks.push(entry);
    at += entry.blockBytes;
    nextRow += entry.rowCount;
  }
  return { blocks, modifiedMs, isOthers: false };
}

async function readHeader(file: FileHandle, at: number): Promise<BlockHeader | undefined> {
  const begin = await readAt(file, at, HEADER_READ_BYTES);
  const headerBytes = headerBytesOf(begin.subarray(0, ALIGNMENT_BYTES));
  if (headerBytes === undefined) return undefined;
  const isAll = headerBytes <= begin.byteLength;
  return parseHeader(isAll ? begin.subarray(0, headerBytes) : await readAt(file, at, headerBytes), at);
}

/** Reads a block and counts its rows; false where it does not check. */
async function addBlock(
  file: FileHandle,
  header: BlockHeader,
  columns: number[],
  summary: RunSummary,
): Promise<boolean> {
  const bytes = await readAt(file, header.entry.offset, header.entry.blockBytes);
  if (bytes.byteLength < header.entry.blockBytes) return false;
  try {
    const batch = decodeColumns(header, columns, (at, byteLength) => bytes.subarray(at, at + byteLength));
    summary.add(batch);
    return true;
  } catch {
    return false;
  }
}
