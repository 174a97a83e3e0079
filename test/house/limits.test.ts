import { describe, expect, test } from 'vitest';
import { readConfig, type Config } from '../../server/config.js';
import { GrpcCode, StorageError, type Reason } from '../../server/errors.js';
import * as limits from '../../server/limits.js';
import { expectNamedTests, tableRows } from './named-tests.js';

const KIB = 1024;
/** Units of a value, in that of the constant: bytes, milliseconds, or a count. */
const UNITS: Record<string, number> = {
  ...{ '': 1, B: 1, KiB: KIB, MiB: KIB * KIB },
  ...{ ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 },
};

/** The names and cells of the tables of docs/limits.md. */
const ROWS = tableRows('docs/limits.md', (line) => /^\| `[\w.]+` \|/.test(line)).map((line) => {
  const [, name = '', ...cells] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
  return { line, name: name.replaceAll('`', ''), cells: cells.slice(0, -1) };
});
/** Those that somebody meets: of what, default, set by, beyond it, checked by. */
const MET = ROWS.filter(({ cells }) => cells.length === 5);
/** Those that nobody meets: value, meaning. */
const INNER = ROWS.filter(({ cells }) => cells.length === 2 && cells[0] !== undefined && isValue(cells[0]));

function isValue(cell: string): boolean {
  return /^\d/.test(cell);
}

/** What a cell such as `4 MiB`, `1/8` or `10,000` stands for. */
function valueOf(cell: string): number | string | undefined {
  if (cell === 'none') return undefined;
  if (!isValue(cell)) return cell.replaceAll('`', '');
  const [, number = '', below, unit = ''] = /^([\d,]+)(?:\/(\d+))?(?: (\w+))?$/.exec(cell) ?? [];
  return (Number(number.replaceAll(',', '')) / Number(below ?? 1)) * (UNITS[unit] ?? NaN);
}

/** A number or pattern as the table has it; undefined for what is no limit. */
function asTold(value: unknown): number | string | undefined {
  return value instanceof RegExp ? value.source : typeof value === 'number' ? value : undefined;
}

/** The default of a key of the configuration, in bytes or milliseconds. */
function defaultOf(key: string): unknown {
  const type = key === 'primary.max_memory_mb' ? 'memory' : 'leveldb';
  const config = readConfig({ primary: { type } }, undefined, {});
  const [first = '', second] = key.split('.');
  const top: unknown = config[first as keyof Config];
  const value = second === undefined ? top : (top as Record<string, unknown>)[second];
  return key.endsWith('_mb') && typeof value === 'number' ? value * KIB * KIB : value;
}

describe('docs/limits.md', () => {
  const constants = Object.entries(limits).filter(([, value]) => asTold(value) !== undefined);

  test('names each limit of the code once, and no other', () => {
    const named = [...MET, ...INNER].map(({ name }) => name);
    expect(named.filter((name) => /^[A-Z]/.test(name)).sort()).toEqual(constants.map(([name]) => name).sort());
  });

  test.each(constants)('has the value of %s', (name, value) => {
    const row = ROWS.find((each) => each.name === name);
    const cell = row?.cells[row.cells.length === 5 ? 1 : 0];
    expect(valueOf(cell ?? '')).toBe(asTold(value));
  });

  test.each(MET.filter(({ name }) => /^[a-z]/.test(name)))('has the default of $name', ({ name, cells }) => {
    expect(valueOf(cells[1] ?? '')).toBe(defaultOf(name));
    expect(cells[2]).toBe(`\`${name}\``);
  });

  test.each(MET)('names the error beyond $name, its code, and a test that there is', ({ line, cells }) => {
    const [, , , beyond = '', checkedBy = ''] = cells;
    const [, reason, code] = /^`(\w+)` \((\w+)\)$/.exec(beyond) ?? [];
    if (reason !== undefined)
      expect(GrpcCode[code as keyof typeof GrpcCode]).toBe(new StorageError(reason as Reason, '').code);
    else expect(beyond).toMatch(/^(none|more|the|one|GOAWAY|HTTP)/);
    expectNamedTests(checkedBy, line);
  });
});
