import type { Problem, Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { Cell } from './cells.js';
import { InputError } from './input-error.js';
import { fromJsonValue, WrittenNumber } from './json-cells.js';
import { together, wholeLines } from './lines.js';

/** Integers that may be beyond 2^53, and what Python's json writes for numbers that JSON has no words for. */
const HAS_WRITTEN_NUMBERS = /\d{16}|NaN|Infinity/;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity/g;
/** No name of a variable is empty: an object with this key alone is no cell that anyone writes. */
const WRITTEN = '';

/**
 * Reads rows of NDJSON as they come, those of a piece together: an object a line, values by the variables' names; a name that
 * is not there is a missing value. InputError names the line.
 */
export async function* readNdjson(input: AsyncIterable<Uint8Array>, problem: Problem): AsyncGenerator<Cell[][], void> {
  const reader = new LineReader(problem.variables);
  for await (const text of wholeLines(input, 'NDJSON')) yield* together(reader.rowsOf(text));
}

class LineReader {
  private readonly places: ReadonlyMap<string, number>;
  private line = 0;

  constructor(private readonly variables: readonly Variable[]) {
    this.places = new Map(variables.map(({ name }, i) => [name, i]));
  }

  *rowsOf(text: string): Generator<Cell[], void> {
    const lines = text.split('\n');
    const last = lines.pop() ?? '';
    for (const line of lines) {
      this.line++;
      if (line.trim() !== '') yield this.rowOf(line, true);
    }
    if (last.trim() === '') return;
    this.line++;
    yield this.rowOf(last, false);
  }

  private rowOf(text: string, isWhole: boolean): Cell[] {
    const value = this.parse(text, isWhole);
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof WrittenNumber)
      throw new InputError(`Line ${this.line} is no object; one such as {"x": 1, "note": null} was expected.`);
    const row = this.variables.map((): Cell => null);
    for (const [name, cell] of Object.entries(value)) {
      const place = this.places.get(name);
      if (place === undefined)
        throw new InputError(
          `Line ${this.line} has "${name}", which the problem has not. Add it there as a variable with VARIABLE_ROLE_OBSERVABLE, or take it out.`,
        );
      row[place] = fromJsonValue(this.variables[place] as Variable, cell, `Line ${this.line}`);
    }
    return row;
  }

  private parse(text: string, isWhole: boolean): unknown {
    try {
      return HAS_WRITTEN_NUMBERS.test(text) ? parseExactly(text) : (JSON.parse(text) as unknown);
    } catch (error) {
      if (!isWhole)
        throw new InputError(`Line ${this.line} is the last one and breaks off: what printed it has not finished.`);
      const hint =
        this.line === 1 && text.trim() === '{'
          ? 'An object has to be on one line; a whole table as JSON is read from a file whose name ends in .json.'
          : 'One object a line was expected, such as {"x": 1, "note": null}.';
      throw new InputError(
        `Line ${this.line} is not JSON: ${error instanceof Error ? error.message : String(error)}. ${hint}`,
      );
    }
  }
}

/** JSON whose numbers outside of what a double holds exactly are kept as they are written. */
function parseExactly(text: string): unknown {
  const marked = text.replace(STRING_OR_NUMBER, (token) =>
    token.startsWith('"') || isHeld(token) ? token : `{${JSON.stringify(WRITTEN)}:"${token}"}`,
  );
  return JSON.parse(marked, (_, value: unknown) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, WRITTEN)) return value;
    const { [WRITTEN]: written } = value as Record<string, unknown>;
    return Object.keys(value).length === 1 && typeof written === 'string' ? new WrittenNumber(written) : value;
  }) as unknown;
}

function isHeld(token: string): boolean {
  if (/[NI]/.test(token)) return false;
  return /[.eE]/.test(token) || Number.isSafeInteger(Number(token));
}
