import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../server/errors.js';
import type { Filter } from '../../server/filter/filter.js';
import { FILTER_FIELDS, parseFilter } from '../../server/filter/parse.js';
import { anyFilter } from './arbitrary-filter.js';
import { printFilter } from './print.js';
import { codeBlocks } from '../docs/code-blocks.js';

/** And and or of the same kind side by side are one. */
function flat(filter: Filter | undefined): unknown {
  if (filter === undefined || filter.kind === 'comparison') return filter;
  return filter.kind === 'not'
    ? { kind: 'not', part: flat(filter.part) }
    : { kind: filter.kind, parts: filter.parts.map(flat) };
}

function faultOf(text: string): { position: number; message: string } {
  try {
    parseFilter(text);
  } catch (error) {
    if (!(error instanceof StorageError) || error.reason !== 'FILTER_INVALID') throw error;
    return { position: Number(error.metadata['position']), message: error.message };
  }
  throw new Error(`${text} was read`);
}

describe('a filter', () => {
  test('that was written as text is read as it was', () => {
    const property = fc.property(anyFilter, (filter) => {
      expect(flat(parseFilter(printFilter(filter)))).toEqual(flat(filter));
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('of any text is read, or refused with a place in it', () => {
    const word = fc.constantFrom(
      ...['AND', 'OR', 'NOT', '(', ')', 'key', 'tags.a', 'best."f', 'row_count', '<=', '=', ':*', '"a', '"', '\\', '5'],
      ...[' ', '  ', '2026-11-24', 'commit_time', '\u{1f600}'],
    );
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(word).map((words) => words.join(' ')),
    );
    const property = fc.property(texts, (text) => {
      try {
        parseFilter(text);
      } catch (error) {
        expect(error).toMatchObject({ reason: 'FILTER_INVALID' });
        const position = Number((error as StorageError).metadata['position']);
        expect(position >= 0 && position <= Array.from(text).length).toBe(true);
      }
    });
    fc.assert(property, { numRuns: 2000 });
  });

  test('that is empty is none', () => {
    expect(parseFilter('')).toBeUndefined();
    expect(parseFilter('  \n')).toBeUndefined();
  });

  test('takes bare words, numbers, dates and times with zones', () => {
    const value = (text: string) => {
      const filter = parseFilter(text);
      return filter?.kind === 'comparison' ? filter.value : undefined;
    };
    expect(value('solver=NSGA2')).toBe('NSGA2');
    expect(value('row_count >= 1e3')).toBe(1000);
    expect(value('best.f < -.5')).toBe(-0.5);
    expect(value('commit_time > 2026-11-24')).toBe(1_795_478_400_000_000_000n);
    expect(value('commit_time > 2026-11-24T10:00:00.000000001+02:00')).toBe(1_795_507_200_000_000_001n);
    expect(value('commit_time > "2026-11-24T08:00:00.000000001Z"')).toBe(1_795_507_200_000_000_001n);
  });

  test('that is wrong is refused where it is wrong, with what was expected', () => {
    const faults: readonly [text: string, position: number, message: RegExp][] = [
      ['colour = red', 0, /a field \(key, problem, .*tags\.NAME, best\.NAME\)/],
      ['key', 3, /the end stands where =, !=, <, <=, > or >= was expected/],
      ['key = ', 6, /a text/],
      ['tags.team == wing', 10, /character 11: "== wing" stands where a single = /],
      ['key = "open', 6, /a " that ends the text/],
      ['key = "a\\b"', 8, /behind a backslash/],
      ['row_count > many', 12, /a number, such as 12/],
      ['best.f > NaN', 9, /a number/],
      ['commit_time > 2026-02-30', 14, /a time, such as/],
      ['outcome = DONE', 10, /UNSPECIFIED or FINISHED or FAILED or STOPPED/],
      ['outcome < FINISHED', 8, /= or != was expected/],
      ['key = a solver = b', 8, /AND, OR or the end/],
      ['key = a AND', 11, /a field/],
      ['key = a AND key = b OR key = c', 19, /AND, or parentheses around one of the two/],
      ['(key = a', 8, /AND, OR or a closing parenthesis/],
      ['key = a)', 7, /AND, OR or the end/],
      ['tags. = 1', 5, /a name behind "tags\."/],
      ['solver = "\u{1f600}" x', 13, /AND, OR or the end/],
      [`key = ${'a'.repeat(5000)}`, 0, /at most 4096 bytes/],
      [`${'('.repeat(60)}key = a${')'.repeat(60)}`, 51, /at most 50 levels/],
      [`${'NOT '.repeat(60)}key = a`, 203, /at most 50 levels/],
    ];
    for (const [text, position, message] of faults) {
      const fault = faultOf(text);
      expect({ text, position: fault.position }).toEqual({ text, position });
      expect(fault.message).toMatch(message);
    }
  });

  test('of the documentation is read, and every field is documented', () => {
    const text = readFileSync('docs/filter.md', 'utf8');
    const examples = codeBlocks(text, 'filter').flatMap((lines) => lines.trim().split('\n'));
    expect(examples.length).toBeGreaterThan(8);
    for (const example of examples) expect(parseFilter(example)).toBeDefined();
    for (const field of FILTER_FIELDS) expect(text).toContain(`\`${field}\``);
  });
});
