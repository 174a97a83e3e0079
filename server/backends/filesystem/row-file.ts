import { open, type FileHandle } from 'node:fs/promises';
import type { JsonValue } from '@bufbuild/protobuf';
import type { BufferCheck } from '../../rows/arrow-ipc.js';
import { crc32 } from '../../rows/checksum.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { corrupt, decodeColumns, type BlockEntry, type BlockHeader } from '../blocks/block-format.js';
import type { IdentifiedFile } from '../backend.js';
import { ifThere, readAt } from '../files.js';
import { identityOf } from '../blocks/located-blocks.js';
import type { BlockReading, Source } from '../blocks/block-reader.js';
import { fromArrow, layOut } from './arrow-format.js';
import { decodeJson, encodeJson, hexOf, type JsonContent } from './checked-json.js';
import { readIfThere } from './durable-files.js';
import { sidecarOf } from './names.js';

/** A record batch in a file of rows, and the checksums of its parts. */
export interface CheckedBlock extends BlockEntry {
  readonly headerCrc: number;
  readonly checks: readonly BufferCheck[];
}

/** What the sidecar says of its file: an Arrow file has no checksums of its own. */
export interface Sidecar {
  /** Length of the file. */
  readonly sizeBytes: number;
  /** What lies before the first record batch and behind the last one. */
  readonly head: BufferCheck;
  readonly tail: BufferCheck;
  readonly blocks: readonly CheckedBlock[];
}

/** Eight digits of length and eight of CRC-32. */
const CHECK_LENGTH = 16;

/** The sidecar as it is written. */
export function encodeSidecar({ sizeBytes, head, tail, blocks }: Sidecar): Buffer {
  return encodeJson({
    size_bytes: sizeBytes,
    head: encodeChecks([head]),
    tail: encodeChecks([tail]),
    record_batches: blocks.map((block) => ({
      offset: block.offset,
      first_row: block.firstRow,
      row_count: block.rowCount,
      size_bytes: block.blockBytes,
      metadata: encodeChecks([{ byteLength: block.headerBytes, crc: block.headerCrc }]),
      buffers: encodeChecks(block.checks),
    })),
  });
}

function encodeChecks(checks: readonly BufferCheck[]): string {
  return checks.map(({ byteLength, crc }) => hexOf(byteLength) + hexOf(crc)).join('');
}

function decodeChecks(text: JsonValue | undefined, file: string): BufferCheck[] {
  if (typeof text !== 'string' || text.length % CHECK_LENGTH !== 0) throw corrupt(file);
  const checks: BufferCheck[] = [];
  for (let at = 0; at < text.length; at += CHECK_LENGTH)
    checks.push({
      byteLength: Number.parseInt(text.slice(at, at + 8), 16),
      crc: Number.parseInt(text.slice(at + 8, at + CHECK_LENGTH), 16),
    });
  return checks;
}

/** Reads what encodeSidecar made. RESULT_CORRUPT. */
export function decodeSidecar(bytes: Buffer, file: string): Sidecar {
  const content = decodeJson(bytes, file);
  // It may check, and be another file's.
  if (!Array.isArray(content['record_batches'])) throw corrupt(file);
  const one = (text: JsonValue | undefined): BufferCheck => {
    const [check] = decodeChecks(text, file);
    if (check === undefined) throw corrupt(file);
    return check;
  };
  const blocks = (content['record_batches'] as JsonContent[]).map((block): CheckedBlock => {
    const header = one(block['metadata']);
    return {
      offset: Number(block['offset']),
      firstRow: Number(block['first_row']),
      rowCount: Number(block['row_count']),
      blockBytes: Number(block['size_bytes']),
      headerBytes: header.byteLength,
      headerCrc: header.crc,
      checks: decodeChecks(block['buffers'], file),
    };
  });
  const { head, tail } = content;
  return { sizeBytes: Number(content['size_bytes']), head: one(head), tail: one(tail), blocks };
}

/** A file of rows that is read; it stays readable when it is removed meanwhile. */
export class RowFile implements Source {
  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    readonly sidecar: Sidecar,
  ) {}

  /** Opens a file of rows and checks its two ends. RESULT_CORRUPT; undefined where it or its sidecar is not there. */
  static async open(path: string): Promise<RowFile | undefined> {
    const bytes = await readIfThere(sidecarOf(path));
    if (bytes === undefined) return undefined;
    const sidecar = decodeSidecar(bytes, sidecarOf(path));
    const file = await ifThere(open(path, 'r'));
    if (file === undefined) return undefined;
    const rows = new RowFile(file, path, sidecar);
    try {
      await rows.check();
      return rows;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private async check(): Promise<void> {
    const { path } = this;
    const { sizeBytes, head, tail } = this.sidecar;
    if ((await this.file.stat()).size !== sizeBytes) throw corrupt(`${path} has not the length that it had`);
    const ends = [await this.read(0, head.byteLength), await this.read(sizeBytes - tail.byteLength, tail.byteLength)];
    if (crc32(ends[0] as Buffer) !== head.crc || crc32(ends[1] as Buffer) !== tail.crc)
      throw corrupt(`the beginning or the end of ${path}`);
  }

  /** What it is known by to who opens it anew. */
  identity(): Promise<IdentifiedFile> {
    return identityOf(this.file, this.path);
  }

  read(position: number, byteLength: number): Promise<Buffer> {
    return readAt(this.file, position, byteLength);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }
}

/** How record batches with such columns are read and checked. */
export function arrowReading(schema: Schema): BlockReading<CheckedBlock> {
  return {
    header(bytes, entry): BlockHeader {
      const header = layOut(schema, entry, entry.checks);
      if (header === undefined || crc32(bytes.subarray(0, entry.headerBytes)) !== entry.headerCrc)
        throw corrupt(`the header of rows from ${entry.firstRow}`);
      return header;
    },
    columns(header, indices, bytes): Batch {
      const batch = decodeColumns(header, indices, bytes);
      return fromArrow(selectTypes(schema, indices), batch);
    },
  };
}

function selectTypes(schema: Schema, indices: readonly number[]): Schema {
  return indices.map((index) => schema[index] ?? 0);
}
