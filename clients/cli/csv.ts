import type { Readable } from 'node:stream';
import { parse } from 'csv-parse/sync';
import type { Problem, Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { LoadedBatch, LoadedColumn } from '../typescript/index.js';
import { formatCell, parseCell, type Cell } from './cells.js';

/** Input that can't be used; the message says where and what was expected. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

const QUOTE = 0x22;
const LINE_END = 0x0a;

interface RawCell {
  readonly text: string;
  readonly isQuoted: boolean;
}

/** Reads rows of CSV as they come: values in the order of the problem's variables. InputError names line and column. */
export async function* readCsv(input: Readable, problem: Problem): AsyncGenerator<Cell[]> {
  let places: number[] | undefined;
  for await (const { cells, line } of records(input, problem)) {
    if (places === undefined) places = placesOf(cells, problem.variables);
    else {
      const at = places;
      yield problem.variables.map((variable, i) => cellAt(variable, cells[at[i] ?? -1], line));
    }
  }
  if (places === undefined) throw new InputError('The CSV is empty; its first line has to name the columns.');
}

async function* records(input: Readable, problem: Problem): AsyncGenerator<{ cells: RawCell[]; line: number }> {
  let linesBefore = 0;
  let columnCount: number | undefined;
  for await (const text of wholeLines(input)) {
    for (const { record, info } of parseRecords(text, problem, linesBefore)) {
      columnCount ??= record.length;
      const line = linesBefore + info.lines;
      if (record.length !== columnCount)
        throw new InputError(`Line ${line} has ${record.length} cells; the first line names ${columnCount} columns.`);
      yield { cells: record, line };
    }
    linesBefore += text.split('\n').length - 1;
  }
}

function parseRecords(text: string, problem: Problem, linesBefore: number) {
  try {
    return parse(text, {
      cast: (cell, { quoting }) => ({ text: cell, isQuoted: quoting }),
      info: true,
      relax_column_count: true,
      // Of a single column, an empty line is a missing value.
      skip_empty_lines: problem.variables.length > 1,
    }) as unknown as { record: RawCell[]; info: { lines: number } }[];
  } catch (error) {
    const behind = linesBefore === 0 ? '' : ` (counted from line ${linesBefore + 1})`;
    throw new InputError(`The CSV can't be read: ${error instanceof Error ? error.message : String(error)}${behind}.`);
  }
}

/**
 * Cuts a stream behind line ends that are not quoted. A parser that is fed the stream itself keeps the last bytes
 * back until more come: the row that a solver has just printed would wait for the next one.
 */
async function* wholeLines(input: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let isQuoted = false;
  const decode = (bytes?: Uint8Array) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch (error) {
      throw new InputError('The CSV is not UTF-8. Convert it first, for instance with iconv.', { cause: error });
    }
  };
  for await (const bytes of input as AsyncIterable<Uint8Array>) {
    const text = decode(bytes);
    let cut = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit === QUOTE) isQuoted = !isQuoted;
      else if (unit === LINE_END && !isQuoted) cut = i + 1;
    }
    if (cut > 0) yield rest + text.slice(0, cut);
    rest = cut > 0 ? text.slice(cut) : rest + text;
  }
  rest += decode();
  if (rest !== '') yield rest;
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
