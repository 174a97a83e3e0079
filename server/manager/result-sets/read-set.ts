import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { StorageError } from '../../errors.js';
import { SET_READ_GAP_BYTES } from '../../limits.js';
import type { Batch, Schema } from '../../rows/batch.js';
import { batchBytes, schemaOf } from '../../rows/batch.js';
import { gatherBatches } from '../../rows/gather.js';
import { PickedRuns, pickRows } from '../../rows/pick.js';
import { writeNumbers } from '../../rows/row-numbers/number-bytes.js';
import { RunsAtPositions, type Runs, type RunSource } from '../../rows/row-numbers/runs.js';
import type { Selection } from '../../rows/select.js';
import { columnsOf, type NamedSelection } from '../selection.js';
import type { ServedRows } from '../served-rows.js';
import type { Role } from '../stores.js';
import { rowsOfSet, setNamed } from './change-sets.js';

/** Which rows of a set, and which columns of them. */
export interface SetSelection {
  /** As in Selection. */
  readonly columns: readonly number[];
  /** Positions in the set. */
  readonly firstRow: number;
  readonly rowCount: number;
  /** The rows at these positions. */
  readonly rows: RunSource;
}

/** Rows of a set: `batch.firstRow` is the position of the first one in the set. */
export interface SetBatch {
  readonly batch: Batch;
  /** Their numbers in the result, u64 LE. */
  readonly rowNumbers: Uint8Array;
}

/** Rows of a set on their way, and who serves them. */
export interface ServedSet extends AsyncIterable<SetBatch> {
  /** See ServedRows. */
  readonly servedFrom: Role;
  begin(): Promise<void>;
  end(): Promise<void>;
}

/** Reads rows of a revision: the manager's own. */
export type ReadRows = (selection: Selection) => ServedRows;

/** Finds what is named in a set. RESULT_SET_NOT_FOUND, COLUMN_NOT_FOUND, ROW_RANGE_INVALID. */
export function setSelectionOf(manifest: Manifest, name: string, named: NamedSelection): SetSelection {
  const rowCount = Number(setNamed(manifest, name).rowCount);
  const chosen = { rowCount, rows: rowsOfSet(manifest, name) };
  return selectionAmong(manifest, chosen, named, `set ${JSON.stringify(name)}`);
}

/** Finds what is named, by positions, among rows that were chosen of a result. COLUMN_NOT_FOUND, ROW_RANGE_INVALID. */
export function selectionAmong(
  manifest: Manifest,
  chosen: { readonly rows: RunSource; readonly rowCount: number },
  named: NamedSelection,
  what: string,
): SetSelection {
  const { firstRow } = named;
  if (firstRow > chosen.rowCount) {
    throw new StorageError(
      'ROW_RANGE_INVALID',
      `first_row is ${firstRow}, but the ${what} of "${manifest.key}" has ${chosen.rowCount} rows. Ask for a position of 0 to ${chosen.rowCount}.`,
    );
  }
  const rowCount = Math.min(named.rowCount ?? chosen.rowCount, chosen.rowCount - firstRow);
  const rows = () => new RunsAtPositions(chosen.rows(), firstRow, rowCount);
  return { columns: columnsOf(manifest, named.columns), firstRow, rowCount, rows };
}

/**
 * Reads rows of a set in batches of about `batchBytes`. Runs that lie near each other are read together; what lies between
 * them is passed over, and what lies far from all of them is not read.
 */
export function readSet(manifest: Manifest, selection: SetSelection, bytesMax: number, read: ReadRows): ServedSet {
  const spans = new Spans(selection.rows(), gapRows(manifest));
  const readNext = () => {
    const [firstRow, rowCount] = spans.advance() ? [spans.first, spans.end - spans.first] : [0, 0];
    return read({ columns: selection.columns, firstRow, rowCount });
  };
  const first = readNext();
  const variables = manifest.problem?.variables ?? [];
  const schema = schemaOf(selection.columns.map((index) => variables[index] as Variable));
  async function* batches(): AsyncGenerator<SetBatch> {
    if (selection.rowCount === 0) return;
    const picker = new Picker(schema, selection, bytesMax);
    for (let span: ServedRows | undefined = first; span !== undefined;) {
      for await (const batch of span) yield* picker.pick(batch);
      span = picker.isDone ? undefined : readNext();
    }
  }
  return {
    get servedFrom() {
      return first.servedFrom;
    },
    begin: () => first.begin(),
    end: () => first.end(),
    [Symbol.asyncIterator]: batches,
  };
}

/** Rows that lie between two runs, at most, that are read in one go. */
function gapRows({ sizeBytes, rowCount }: Manifest): number {
  const bytesPerRow = Math.max(Number(sizeBytes) / Number(rowCount), 1);
  return Math.max(1, Math.floor(SET_READ_GAP_BYTES / bytesPerRow));
}

/** Runs joined over the gaps between them. */
class Spans implements Runs {
  first = 0;
  end = 0;
  private hasNext: boolean;

  constructor(
    private readonly runs: Runs,
    private readonly gap: number,
  ) {
    this.hasNext = runs.advance();
  }

  advance(): boolean {
    if (!this.hasNext) return false;
    const { runs } = this;
    this.first = runs.first;
    do {
      this.end = runs.end;
      this.hasNext = runs.advance();
    } while (this.hasNext && runs.first - this.end <= this.gap);
    return true;
  }
}

/** Takes the rows of a set out of batches of a result, and gathers them. */
class Picker {
  private readonly runs: Runs;
  private hasRun: boolean;
  private position: number;
  private readonly end: number;
  private gathered: Batch[] = [];
  private numbers: Uint8Array[] = [];
  private gatheredBytes = 0;

  constructor(
    private readonly schema: Schema,
    selection: SetSelection,
    private readonly bytesMax: number,
  ) {
    this.runs = selection.rows();
    this.hasRun = this.runs.advance();
    this.position = selection.firstRow;
    this.end = selection.firstRow + selection.rowCount;
  }

  /** All rows of the set have come. */
  get isDone(): boolean {
    return this.position === this.end;
  }

  *pick(batch: Batch): Generator<SetBatch> {
    const picked = this.take(batch);
    if (picked.rowCount === 0) return;
    const rows = pickRows(this.schema, batch, picked, this.position);
    this.gathered.push(rows);
    this.numbers.push(rowNumbersIn(batch.firstRow, picked));
    this.position += picked.rowCount;
    this.gatheredBytes += batchBytes(rows) + picked.rowCount * 8;
    if (this.gatheredBytes < this.bytesMax && !this.isDone) return;
    yield { batch: gatherBatches(this.schema, this.gathered), rowNumbers: Buffer.concat(this.numbers) };
    this.gathered = [];
    this.numbers = [];
    this.gatheredBytes = 0;
  }

  /** The runs of the set that lie in a batch, counted within it. */
  private take(batch: Batch): PickedRuns {
    const picked = new PickedRuns();
    const end = batch.firstRow + batch.rowCount;
    while (this.hasRun && this.runs.first < end) {
      const from = Math.max(this.runs.first, batch.firstRow);
      const to = Math.min(this.runs.end, end);
      if (from < to) picked.add(from - batch.firstRow, to - from);
      // The rest of this run lies in the next batch.
      if (this.runs.end > end) break;
      this.hasRun = this.runs.advance();
    }
    return picked;
  }
}

function rowNumbersIn(firstRow: number, runs: PickedRuns): Uint8Array {
  const bytes = new Uint8Array(runs.rowCount * 8);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) at = writeNumbers(view, at, firstRow + runs.from(i), runs.count(i));
  return bytes;
}
