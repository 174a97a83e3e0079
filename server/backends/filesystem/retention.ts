import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { throwIfCancelled } from '../../errors.js';
import { ValueType } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { LOCAL_FILES_KEPT_MS } from '../../limits.js';
import { schemaOf, type Batch } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import type { FileBlocks } from '../backend.js';
import { corrupt } from '../blocks/block-format.js';
import { blocksOf, readBlocks } from '../blocks/block-reader.js';
import { locateBlocks } from '../blocks/located-blocks.js';
import { Readers } from '../readers.js';
import { revisionGone } from '../result-errors.js';
import type { EndedUploads } from './ended-uploads.js';
import { folderName, numberOf } from './names.js';
import type { FilesystemResults } from './results.js';
import { arrowReading, RowFile, type CheckedBlock } from './row-file.js';

/** Files of one load that are open at once; those behind are opened when it comes to them. */
const OPEN_FILES_MAX = 64;
/** What was prepared and is not used for so long belongs to a process that has ended. */
const PREPARED_MS = 3_600_000;

/** Rows of revisions: how they are read, and when they may go. */
export class Retention {
  /** Loads of this process, by slot. */
  private readonly readers = new Readers();

  constructor(
    private readonly results: FilesystemResults,
    private readonly ended: EndedUploads,
    private readonly retentionMs: number,
  ) {}

  /** Streams the selected rows of a revision. */
  read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    const schema = schemaOf(manifest.problem?.variables ?? []);
    const reading = arrowReading(schema);
    const rowsOf = (file: RowFile) =>
      readBlocks(file, blocksOf(file.sidecar.blocks, selection), selection, schema, signal, reading);
    return this.readers.during([readName(manifest)], this.fromFiles(manifest, selection, signal, rowsOf));
  }

  /** Tells where the selected rows of a revision lie; undefined where one of the columns is not in its files as a batch has it. */
  locate(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<FileBlocks> | undefined {
    const schema = schemaOf(manifest.problem?.variables ?? []);
    // Arrow has a bit for each.
    if (selection.columns.some((index) => schema[index] === ValueType.BOOL)) return undefined;
    const reading = arrowReading(schema);
    const placesIn = async function* (file: RowFile) {
      const blocks = blocksOf(file.sidecar.blocks, selection);
      yield* locateBlocks(file, await file.identity(), blocks, selection.columns, signal, reading);
    };
    const places = this.fromFiles(manifest, selection, signal, placesIn);
    return this.readers.during([readName(manifest)], places, LOCAL_FILES_KEPT_MS);
  }

  /**
   * Goes through the files of a revision that have selected rows. They are opened at the start: what is open stays readable, also when
   * another process removes it.
   */
  private async *fromFiles<T>(
    manifest: Manifest,
    selection: Selection,
    signal: AbortSignal,
    rowsOf: (file: RowFile) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const end = BigInt(selection.firstRow + selection.rowCount);
    const segments = manifest.segments.filter(
      ({ firstRow, rowCount }) => firstRow < end && firstRow + rowCount > BigInt(selection.firstRow),
    );
    const paths = segments.map(({ name }) => this.results.folders.pathOf(manifest.key, name));
    const open: RowFile[] = [];
    try {
      for (const path of paths.slice(0, OPEN_FILES_MAX)) open.push(await this.open(manifest, path));
      for (const [i, segment] of segments.entries()) {
        throwIfCancelled(signal);
        await using file = open.shift() ?? (await this.open(manifest, paths[i] as string));
        checkWhole(file, Number(segment.firstRow), Number(segment.rowCount), paths[i] as string);
        yield* rowsOf(file);
      }
    } finally {
      for (const file of open) await file[Symbol.asyncDispose]();
    }
  }

  private async open(manifest: Manifest, path: string): Promise<RowFile> {
    const file = await RowFile.open(path);
    if (file !== undefined) return file;
    const slots = await this.results.folders.slots(folderName(manifest.key));
    const slot = slotOf(manifest);
    throw slot !== undefined && slots.includes(slot)
      ? corrupt(`${path} or its checksums are lacking`)
      : revisionGone(manifest.key, manifest.revision);
  }

  /** Removes slots whose retention is over and that nobody reads here, and what processes left that have ended. */
  async sweep(nowMs: number, retentionMs = this.retentionMs): Promise<void> {
    await this.results.refresh();
    for (const folder of [...this.results.crowded]) await this.sweepFolder(folder, nowMs, retentionMs);
  }

  private async sweepFolder(folder: string, nowMs: number, retentionMs: number): Promise<void> {
    const { folders, crowded } = this.results;
    await folders.removePrepared(folder, nowMs - PREPARED_MS);
    const slots = await folders.slots(folder);
    let keptCount = 0;
    for (const [i, slot] of slots.entries()) {
      const next = slots[i + 1];
      if (next === undefined) break;
      // Superseded since the next one was made.
      const sinceMs = (await folders.madeMs(folder, next)) ?? nowMs;
      const isRead = this.readers.isRead(`${folder}/${slot}`);
      if (isRead || nowMs - sinceMs < retentionMs) keptCount++;
      else await this.remove(folder, slot);
    }
    if (keptCount === 0 && !(await folders.hasPrepared(folder))) crowded.delete(folder);
  }

  /** Removes a slot; the upload that it came of is remembered, also where its process ended before it did so. */
  private async remove(folder: string, number: number): Promise<void> {
    const { folders } = this.results;
    const slot = await folders.load(folder, number).catch(() => undefined);
    if (slot?.manifest.kind === RevisionKind.COMMITTED && !(await this.ended.isResult(slot.manifest.uploadId)))
      await this.ended.rememberResult(slot.manifest.uploadId, slot);
    await folders.remove(folder, number);
  }
}

/** What counts as read with a revision. */
function readName(manifest: Manifest): string {
  return `${folderName(manifest.key)}/${slotOf(manifest)}`;
}

function slotOf(manifest: Manifest): number | undefined {
  return numberOf(manifest.segments[0]?.name.split('/')[0] ?? '');
}

/** A file and its sidecar may both be whole, and another revision's. */
function checkWhole({ sidecar }: RowFile, firstRow: number, rowCount: number, path: string): void {
  let next = firstRow;
  const isInOrder = sidecar.blocks.every((block: CheckedBlock) => {
    const isNext = block.firstRow === next;
    next += block.rowCount;
    return isNext;
  });
  if (!isInOrder || next !== firstRow + rowCount) throw corrupt(`${path} has other rows than its result`);
}
