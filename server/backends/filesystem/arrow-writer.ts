import type { FileHandle } from 'node:fs/promises';
import type { Schema as ArrowSchema } from 'apache-arrow';
import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { arrowSchema, encodeBatch, encodeHead, encodeTail } from '../../rows/arrow-ipc.js';
import { crc32 } from '../../rows/checksum.js';
import { schemaOf, type Batch, type Schema } from '../../rows/batch.js';
import { writeFully } from '../files.js';
import { createFile, replaceFile } from './durable-files.js';
import { sidecarOf } from './names.js';
import { encodeSidecar, type CheckedBlock } from './row-file.js';
import { basename, dirname } from 'node:path';

/** Writes record batches to a file, one after the other. Calls are not made concurrently. */
export class ArrowWriter implements AsyncDisposable {
  readonly blocks: CheckedBlock[] = [];
  private end: number;

  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
    private readonly arrow: ArrowSchema,
    private readonly schema: Schema,
    private readonly head: Buffer,
  ) {
    this.end = head.byteLength;
  }

  /** Creates the file, which must not be there. `about`: what its schema says of the whole, for people. */
  static async create(
    path: string,
    variables: readonly Variable[],
    about: ReadonlyMap<string, string>,
  ): Promise<ArrowWriter> {
    const arrow = arrowSchema(variables, about);
    const head = encodeHead(arrow);
    const file = await createFile(path);
    await writeFully(file, [head], 0);
    return new ArrowWriter(path, file, arrow, schemaOf(variables), head);
  }

  /** Writes a batch behind those before. Not durable before `finish`. */
  async append(batch: Batch): Promise<void> {
    const { buffers, headerBytes, headerCrc, blockBytes, checks } = encodeBatch(this.schema, batch);
    const { firstRow, rowCount } = batch;
    await writeFully(this.file, buffers, this.end);
    this.blocks.push({ offset: this.end, firstRow, rowCount, headerBytes, headerCrc, blockBytes, checks });
    this.end += blockBytes;
  }

  /**
   * Writes the end of the file and the sidecar, both durable but for their names; gives their bytes. More batches may be
   * appended later: they overwrite the end.
   */
  async finish(): Promise<{ fileBytes: number; sidecarBytes: number }> {
    const tail = encodeTail(this.arrow, this.blocks);
    const fileBytes = this.end + tail.byteLength;
    const sidecar = encodeSidecar({
      sizeBytes: fileBytes,
      head: { byteLength: this.head.byteLength, crc: crc32(this.head) },
      tail: { byteLength: tail.byteLength, crc: crc32(tail) },
      blocks: this.blocks,
    });
    await writeFully(this.file, [tail], this.end);
    await this.file.truncate(fileBytes);
    await Promise.all([this.file.sync(), replaceFile(dirname(this.path), basename(sidecarOf(this.path)), sidecar)]);
    return { fileBytes, sidecarBytes: sidecar.byteLength };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }
}
