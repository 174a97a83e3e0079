import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest, Segment } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageError } from '../../errors.js';
import type { Batch, Schema } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import { checkSegmentHead, corrupt, decodeDirectory, SEGMENT_HEAD_BYTES } from '../blocks/block-format.js';
import { blocksOf, readBlocks, type Source } from '../blocks/block-reader.js';
import { codeOf, readAt } from '../files.js';
import { revisionGone } from '../result-errors.js';
import type { IndexStore } from './index-store.js';

/** Reads rows of committed revisions. */
export class SegmentReader {
  constructor(
    private readonly folder: string,
    private readonly index: IndexStore,
  ) {}

  /** Streams the selected rows and columns, one block ahead of who pulls. */
  async *read(manifest: Manifest, selection: Selection, schema: Schema, signal: AbortSignal): AsyncGenerator<Batch> {
    for (const segment of manifest.segments) {
      await using source = await this.open(manifest, segment);
      checkSegmentHead(await source.read(0, SEGMENT_HEAD_BYTES), segment.name);
      const directory = await source.read(
        Number(segment.directoryOffset),
        Number(segment.sizeBytes - segment.directoryOffset),
      );
      yield* readBlocks(source, blocksOf(decodeDirectory(directory), selection), selection, schema, signal);
    }
  }

  private async open(manifest: Manifest, segment: Segment): Promise<Source> {
    if (segment.inline) {
      const image = await this.index.inline(segment.name);
      if (image === undefined) throw await this.missing(manifest, segment);
      return memorySource(image);
    }
    try {
      const file = await open(join(this.folder, segment.name), 'r');
      return {
        read: (position, byteLength) => readAt(file, position, byteLength),
        [Symbol.asyncDispose]: () => file.close(),
      };
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw await this.missing(manifest, segment);
      throw error;
    }
  }

  /** The error for rows that are not there: removed with their revision, or lost. */
  private async missing({ key, revision }: Manifest, { name }: Segment): Promise<StorageError> {
    const newest = await this.index.newest(key);
    const kept = newest?.revision === revision ? newest : await this.index.older(key, Number(revision));
    const isKept = kept?.segments.some((segment) => segment.name === name) === true;
    return isKept ? corrupt(`the rows ${name} are gone`) : revisionGone(key, revision);
  }
}

function memorySource(image: Buffer): Source {
  return {
    read: (position, byteLength) => Promise.resolve(image.subarray(position, position + byteLength)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
