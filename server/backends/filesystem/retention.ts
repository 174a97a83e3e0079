import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { throwIfCancelled } from '../../errors.js';
import { schemaOf, type Batch, type Schema } from '../../rows/batch.js';
import type { Selection } from '../../rows/select.js';
import { corrupt } from '../blocks/block-format.js';
import { blocksOf, readBlocks } from '../blocks/block-reader.js';
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
  /** How many loads of this process read a slot. */
  private readonly readers = new Map<string, number>();

  constructor(
    private readonly results: FilesystemResults,
    private readonly ended: EndedUploads,
    private readonly retentionMs: number,
  ) {}

  /**
   * Streams the selected rows of a revision. Its files are opened at the start: what is open stays readable, also when
   * another process removes it.
   */
  async *read(manifest: Manifest, selection: Selection, signal: AbortSignal): AsyncGenerator<Batch> {
    const schema = schemaOf(manifest.problem?.variables ?? []);
    const end = BigInt(selection.firstRow + selection.rowCount);
    const segments = manifest.segments.filter(
      ({ firstRow, rowCount }) => firstRow < end && firstRow + rowCount > BigInt(selection.firstRow),
    );
    const paths = segments.map(({ name }) => this.results.folders.pathOf(manifest.key, name));
    const open: RowFile[] = [];
    const reading = this.reading(manifest);
    try {
      for (const path of paths.slice(0, OPEN_FILES_MAX)) open.push(await this.open(manifest, path));
      for (const [i, segment] of segments.entries()) {
        throwIfCancelled(signal);
        await using file = open.shift() ?? (await this.open(manifest, paths[i] as string));
        checkWhole(file, Number(segment.firstRow), Number(segment.rowCount), paths[i] as string);
        yield* readFile(file, selection, schema, signal);
      }
    } finally {
      reading[Symbol.dispose]();
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

  /** Keeps a revision's slot until what is returned is disposed of. */
  private reading(manifest: Manifest): Disposable {
    const name = `${folderName(manifest.key)}/${slotOf(manifest)}`;
    this.readers.set(name, (this.readers.get(name) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const count = (this.readers.get(name) ?? 1) - 1;
        if (count === 0) this.readers.delete(name);
        else this.readers.set(name, count);
      },
    };
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
      const isRead = this.readers.has(`${folder}/${slot}`);
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

function slotOf(manifest: Manifest): number | undefined {
  return numberOf(manifest.segments[0]?.name.split('/')[0] ?? '');
}

/** Streams the selected rows of one file. */
function readFile(file: RowFile, selection: Selection, schema: Schema, signal: AbortSignal): AsyncGenerator<Batch> {
  return readBlocks(file, blocksOf(file.sidecar.blocks, selection), selection, schema, signal, arrowReading(schema));
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
