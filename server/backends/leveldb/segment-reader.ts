import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest, Segment } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageError } from '../../errors.js';
import { schemaOf, type Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import type { FileBlocks } from '../backend.js';
import {
  checkSegmentHead,
  corrupt,
  decodeDirectory,
  SEGMENT_HEAD_BYTES,
  type BlockEntry,
} from '../blocks/block-format.js';
import { blocksOf, readBlocks, type Source } from '../blocks/block-reader.js';
import { identityOf, locateBlocks } from '../blocks/located-blocks.js';
import { codeOf, readAt } from '../files.js';
import { revisionGone } from '../result-errors.js';
import type { IndexStore } from './index-store.js';

/** A segment that is read; `file`: its own, undefined where it is a value of the index. */
interface OpenSegment extends Source {
  readonly file: { readonly handle: FileHandle; readonly path: string } | undefined;
}

/** Segments up to this are read at once: their head, directory and blocks one by one take longer, whatever is asked for. */
const READ_AT_ONCE_BYTES_MAX = 512 * 1024;

/** Reads rows of committed revisions. */
export class SegmentReader {
  constructor(
    private readonly folder: string,
    private readonly index: IndexStore,
  ) {}

  /** Streams the selected rows and columns, some blocks ahead of who pulls. */
  async *read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    const schema = schemaOf(manifest.problem?.variables ?? []);
    for (const segment of manifest.segments) {
      await using opened = await this.open(manifest, segment);
      const sizeBytes = Number(segment.sizeBytes);
      const source = sizeBytes > READ_AT_ONCE_BYTES_MAX ? opened : memorySource(await opened.read(0, sizeBytes));
      yield* readBlocks(source, await selectedBlocks(source, segment, selection), selection, schema, signal);
    }
  }

  /** Tells where the selected rows and columns lie in files; streams those that do not. */
  async *locate(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch | FileBlocks> {
    const schema = schemaOf(manifest.problem?.variables ?? []);
    for (const segment of manifest.segments) {
      await using source = await this.open(manifest, segment);
      const blocks = await selectedBlocks(source, segment, selection);
      const { file } = source;
      if (file === undefined) yield* readBlocks(source, blocks, selection, schema, signal);
      else yield* locateBlocks(source, await identityOf(file.handle, file.path), blocks, selection.columns, signal);
    }
  }

  private async open(manifest: Manifest, segment: Segment): Promise<OpenSegment> {
    if (segment.inline) {
      const image = await this.index.inline(segment.name);
      if (image === undefined) throw await this.missing(manifest, segment);
      return memorySource(image);
    }
    try {
      const path = join(this.folder, segment.name);
      const handle = await open(path, 'r');
      return {
        file: { handle, path },
        read: (position, byteLength) => readAt(handle, position, byteLength),
        [Symbol.asyncDispose]: () => handle.close(),
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

/** The blocks of a segment that have selected rows. RESULT_CORRUPT. */
async function selectedBlocks(source: Source, segment: Segment, selection: Selection): Promise<BlockEntry[]> {
  checkSegmentHead(await source.read(0, SEGMENT_HEAD_BYTES), segment.name);
  const directory = await source.read(
    Number(segment.directoryOffset),
    Number(segment.sizeBytes - segment.directoryOffset),
  );
  return blocksOf(decodeDirectory(directory), selection);
}

function memorySource(image: Buffer): OpenSegment {
  return {
    file: undefined,
    read: (position, byteLength) => Promise.resolve(image.subarray(position, position + byteLength)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
