import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readCsv } from '../../clients/cli/csv.js';
import { ProblemSchema, ValueType, type Problem } from '../../proto/gen/optistore/v1/problem_pb.js';

/** What comes of a text: its rows, and the error that ends them. */
async function rowsOf(pieces: readonly string[], problem: Problem): Promise<unknown[]> {
  const found: unknown[] = [];
  async function* input() {
    for (const piece of pieces) yield await Promise.resolve(Buffer.from(piece));
  }
  try {
    for await (const rows of readCsv(input(), problem)) found.push(...rows);
  } catch (error) {
    found.push(String(error));
  }
  return found;
}

const problemOf = (...names: string[]) =>
  create(ProblemSchema, { variables: names.map((name) => ({ name, valueType: ValueType.INT64 })) });
const problems = [problemOf('a'), problemOf('b', 'a')];

test('CSV without quotes gives the same rows and errors by the quick way and by the parser, in any pieces', async () => {
  const line = fc.oneof(
    fc.constantFrom('', '1,2', '-3', ' 4 , 5', ',', '6,7,8', 'x,1', ' '),
    fc.stringMatching(/^[1-9, ]{0,5}$/),
  );
  const heads = fc.constantFrom('a', 'a,b', 'b , a', 'a,c', '', '\na,b');
  await fc.assert(
    fc.asyncProperty(
      heads,
      fc.array(line, { maxLength: 8 }),
      fc.constantFrom('', '\n'),
      fc.array(fc.nat(40), { maxLength: 3 }),
      async (head, lines, end, places) => {
        const text = [head, ...lines].join('\n') + end;
        const cuts = [0, ...places.sort((a, b) => a - b), text.length];
        const pieces = cuts.slice(1).map((cut, i) => text.slice(cuts[i], cut));
        // The parser takes what has carriage returns; where an end is none, it is not asked.
        const parsed = [text.replaceAll('\n', '\r\n')];
        for (const problem of problems) {
          const expected = await rowsOf(parsed, problem);
          expect(await rowsOf([text], problem)).toEqual(expected);
          expect(await rowsOf(pieces, problem)).toEqual(expected);
        }
      },
    ),
    { numRuns: 500 },
  );
});
