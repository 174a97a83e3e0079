import type { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import type { Problem, Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { LoadedBatch } from '../typescript/index.js';
import { formatCell, parseCell, type Cell } from './cells.js';

/** Input that can't be used; the message says where and what was expected. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

interface RawCell {
  readonly text: string;
  readonly isQuoted: boolean;
}

/** Reads rows of CSV as they come: values in the order of the problem's variables. InputError names line and column. */
export async function* readCsv(input: Readable, problem: Problem): AsyncGenerator<Cell[]> {
  // Of a single column, an empty line is a missing value.
  const parser = input.pipe(
    parse({
      bom: true,
      cast: (text, { quoting }) => ({ text, isQuoted: quoting }),
      info: true,
      skip_empty_lines: problem.variables.length > 1,
    }),
  );
  input.on('error', (error) => parser.destroy(error));
  let places: number[] | undefined;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: RawCell[]; info: { lines: number } }>) {
      if (places === undefined) {
        places = placesOf(
          record.map((cell) => cell.text.trim()),
          problem.variables,
        );
        continue;
      }
      yield problem.variables.map((variable, i) => cellAt(variable, record[places?.[i] ?? -1], info.lines));
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`The CSV can't be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
  if (places === undefined) throw new InputError('The CSV is empty; its first line has to name the columns.');
}

function cellAt(variable: Variable, cell: RawCell | undefined, line: number): Cell {
  try {
    return parseCell(variable, cell?.text ?? '', cell?.isQuoted ?? false);
  } catch (error) {
    throw new InputError(`Line ${line}: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

function placesOf(names: readonly string[], variables: readonly Variable[]): number[] {
  const known = new Set(variables.map((variable) => variable.name));
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
  return `${names.map((name) => (/[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name)).join(',')}\n`;
}

/** The rows of a batch as lines of CSV. */
export function csvRows(batch: LoadedBatch): string {
  const columns = Object.values(batch.columns);
  let text = '';
  for (let row = 0; row < batch.rowCount; row++) {
    const line = columns.map((column) => formatCell(column, row)).join(',');
    text += `${line}\n`;
  }
  return text;
}
