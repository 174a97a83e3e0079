import { parse } from 'csv-parse/sync';
import type { Problem, Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { LoadedBatch, LoadedColumn } from '../typescript/index.js';
import { formatCell, parseCell, type Cell } from './cells.js';
import { InputError } from './input-error.js';
import { together, wholeLines } from './lines.js';

interface RawCell {
  readonly text: string;
  readonly isQuoted: boolean;
}

/**
 * Reads rows of CSV as they come, those of a piece together: values in the order of the problem's variables. InputError names
 * line and column.
 */
export async function* readCsv(input: AsyncIterable<Uint8Array>, problem: Problem): AsyncGenerator<Cell[][], void> {
  const reader = new RecordReader(problem);
  for await (const text of wholeLines(input, 'CSV')) yield* together(reader.rowsOf(text));
  if (!reader.hasHead) throw new InputError('The CSV is empty; its first line has to name the columns.');
}

class RecordReader {
  private linesBefore = 0;
  private columnCount: number | undefined;
  private places: number[] | undefined;

  constructor(private readonly problem: Problem) {}

  get hasHead(): boolean {
    return this.places !== undefined;
  }

  *rowsOf(text: string): Generator<Cell[], void> {
    for (const { record, info } of parseRecords(text, this.problem, this.linesBefore)) {
      this.columnCount ??= record.length;
      const line = this.linesBefore + info.lines;
      if (record.length !== this.columnCount)
        throw new InputError(
          `Line ${line} has ${record.length} cells; the first line names ${this.columnCount} columns.`,
        );
      const { variables } = this.problem;
      const { places } = this;
      if (places === undefined) this.places = placesOf(record, variables);
      else yield variables.map((variable, i) => cellAt(variable, record[places[i] ?? -1], line));
    }
    this.linesBefore += text.split('\n').length - 1;
  }
}

interface LineRecord {
  readonly record: RawCell[];
  readonly info: { readonly lines: number };
}

function parseRecords(text: string, problem: Problem, linesBefore: number): Iterable<LineRecord> {
  // Of a single column, an empty line is a missing value.
  const skipsEmptyLines = problem.variables.length > 1;
  if (!/["\r]/.test(text)) return plainRecords(text, skipsEmptyLines);
  try {
    return parse(text, {
      cast: (cell, { quoting }) => ({ text: cell, isQuoted: quoting }),
      info: true,
      relax_column_count: true,
      skip_empty_lines: skipsEmptyLines,
    }) as unknown as LineRecord[];
  } catch (error) {
    const behind = linesBefore === 0 ? '' : ` (counted from line ${linesBefore + 1})`;
    throw new InputError(`The CSV can't be read: ${error instanceof Error ? error.message : String(error)}${behind}.`);
  }
}

/** Where nothing is quoted, commas and line ends part all there is; a parser takes ten times as long to find that out. */
function* plainRecords(text: string, skipsEmptyLines: boolean): Generator<LineRecord, void> {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const [i, line] of lines.entries())
    if (line !== '' || !skipsEmptyLines)
      yield { record: line.split(',').map((cell) => ({ text: cell, isQuoted: false })), info: { lines: i + 1 } };
}

function cellAt(variable: Variable, cell: RawCell | undefined, line: number): Cell {
  try {
    return parseCell(variable, cell?.text ?? '', cell?.isQuoted ?? false);
  } catch (error) {
    throw new InputError(`Line ${line}: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

function placesOf(cells: readonly RawCell[], variables: readonly Variable[]): number[] {
  const known = new Set(variables.map((variable) => variable.name));
  // People put blanks behind commas; a name may have some of its own.
  const names = cells.map(({ text }) => (known.has(text) ? text : text.trim()));
  const extra = names.filter((name) => !known.has(name));
  if (extra.length > 0) {
    throw new InputError(
      `The CSV has the column "${extra[0]}", which the problem has not. Add it there as a variable with VARIABLE_ROLE_OBSERVABLE, or take it out.`,
    );
  }
  if (new Set(names).size !== names.length) throw new InputError('The CSV names a column twice.');
  return variables.map((variable) => {
    const place = names.indexOf(variable.name);
    if (place < 0) throw new InputError(`The CSV has no column "${variable.name}", which the problem has.`);
    return place;
  });
}

/** A line of CSV that names the columns. */
export function csvHead(names: readonly string[]): string {
  return `${names.map((name) => (/[",\r\n]|^\s|\s$/.test(name) ? `"${name.replaceAll('"', '""')}"` : name)).join(',')}\n`;
}

/** The rows of a batch as lines of CSV, in the order of the names: an object orders names like "10" in its own way. */
export function csvRows(batch: LoadedBatch, names: readonly string[]): string {
  const columns = names.map((name) => batch.columns[name] as LoadedColumn);
  let text = '';
  for (let row = 0; row < batch.rowCount; row++) {
    const line = columns.map((column) => formatCell(column, row)).join(',');
    text += `${line}\n`;
  }
  return text;
}
