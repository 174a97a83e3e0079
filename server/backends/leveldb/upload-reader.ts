import { throwIfCancelled, toStorageError } from '../../errors.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { selectRows, type Selection } from '../../rows/select.js';
import type { Frame, Journal } from './journal.js';
import { readBlocks } from '../blocks/block-reader.js';
import type { SegmentWriter } from './segment-writer.js';

/** Where the rows of an upload in progress lie at a moment. */
export interface WrittenRows {
  /** Undefined: there is none yet, or it was closed. */
  readonly segment: SegmentWriter | undefined;
  /** Those whose rows are not in the segment, in row order. */
  readonly frames: readonly Frame[];
  /** Whether it takes no more rows, whatever the reason. */
  readonly hasEnded: boolean;
}

/**
 * Streams rows that are durable, beside the writer and without making it wait: blocks of the segment, then frames of the
 * journal. Where they lie is asked anew for each, as frames become blocks meanwhile. Ends early where the rows are closed.
 */
export async function* readWritten(
  where: () => WrittenRows,
  journal: Journal,
  schema: Schema,
  selection: Selection,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  const end = selection.firstRow + selection.rowCount;
  for (let at = selection.firstRow; at < end;) {
    throwIfCancelled(signal);
    const rest = { ...selection, firstRow: at, rowCount: end - at };
    const { segment, frames } = where();
    try {
      const before = at;
      for await (const batch of blocksFrom(segment, schema, rest, signal)) {
        at = batch.firstRow + batch.rowCount;
        yield batch;
      }
      if (at > before) continue;
      const frame = frames.find(({ firstRow, rowCount }) => firstRow <= at && at < firstRow + rowCount);
      const batch = frame && (await journal.readBeside(frame, schema));
      const part = batch && selectRows(schema, batch, rest);
      if (part !== undefined) {
        at += part.rowCount;
        yield part;
      } else if (where().frames === frames) return;
    } catch (error) {
      throwIfCancelled(signal);
      if (where().hasEnded || where().segment !== segment) return;
      throw toStorageError(error);
    }
  }
}

/** The selected rows of the blocks that there are. */
async function* blocksFrom(
  segment: SegmentWriter | undefined,
  schema: Schema,
  selection: Selection,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  if (segment === undefined) return;
  const end = selection.firstRow + selection.rowCount;
  const blocks = segment.blocks.filter(
    ({ firstRow, rowCount }) => firstRow < end && firstRow + rowCount > selection.firstRow,
  );
  yield* readBlocks(segment, blocks, selection, schema, signal);
}
