import { clone, create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ProblemSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ColumnSummarySchema, Outcome } from '../../proto/gen/optistore/v1/result_pb.js';
import type { ListOrder, ListQuery } from '../../server/backends/backend.js';
import { openDatabaseBackend, type DatabaseBackend } from '../../server/backends/database/database-backend.js';
import { MemoryBackend } from '../../server/backends/memory/memory-backend.js';
import {
  allTags,
  type Comparison,
  type Field,
  type Filter,
  type Operator,
  type Value,
} from '../../server/filter/filter.js';
import { nanoseconds } from '../../server/times.js';
import { PostgresServer } from './postgres.js';
import { all, RUNNING, save } from './runs.js';

/** Texts near each other, of which some differ in their order by UTF-16 units and by UTF-8 bytes. */
const TEXTS = [
  '',
  'a',
  'A',
  'ab',
  'ä',
  'a\uffff',
  'a\u{10000}',
  'a%',
  'a_',
  'ab\\',
  "a'b",
  '\u{10ffff}',
  '\u{10ffff}b',
  '\ud7ff',
  '\ue000',
];
const NUMBERS = [0, 1, 1.5, -1, 3, 1e300, -1e300, 9007199254740991, Infinity, -Infinity];
const OBJECTIVES = ['f', 'g', 'ä'];
const OPERATORS: readonly Operator[] = ['=', '!=', '<', '<=', '>', '>=', 'has', 'prefix'];

const anyText = fc.constantFrom(...TEXTS);
const anyField: fc.Arbitrary<Field> = fc.oneof(
  fc
    .constantFrom('key', 'problem', 'solver', 'description', 'state', 'outcome', 'upload_id', 'row_count', 'size_bytes')
    .map((name): Field => ({ name })),
  fc.constantFrom('revision', 'create_time', 'commit_time', 'update_time').map((name): Field => ({ name })),
  fc.constantFrom('t', 'ä', 'absent').map((tag): Field => ({ name: 'tag', tag })),
  fc.constantFrom(...OBJECTIVES).map((objective): Field => ({ name: 'best', objective })),
);

function anyFilter(times: readonly bigint[], keys: readonly string[]): fc.Arbitrary<Filter> {
  const anyValue: fc.Arbitrary<Value> = fc.oneof(
    anyText,
    fc.constantFrom(...keys, 'COMMITTED', 'FINISHED', 'F'),
    fc.constantFrom(...NUMBERS),
    fc.constantFrom(...times, ...times.map((time) => time + 1n), 0n, 2n ** 70n),
  );
  const anyComparison: fc.Arbitrary<Comparison> = fc
    .record({ field: anyField, operator: fc.constantFrom(...OPERATORS), value: anyValue })
    .map(({ field, operator, value }) => ({
      kind: 'comparison',
      field,
      operator,
      value: operator === 'has' ? undefined : value,
    }));
  return fc.letrec<{ filter: Filter }>((tie) => ({
    filter: fc.oneof(
      { maxDepth: 3 },
      anyComparison,
      fc.record({
        kind: fc.constantFrom('and' as const, 'or' as const),
        parts: fc.array(tie('filter'), { maxLength: 3 }),
      }),
      fc.record({ kind: fc.constant('not' as const), part: tie('filter') }),
    ),
  })).filter;
}

/** Results of all sorts. */
async function someResults(): Promise<Manifest[]> {
  await using memory = new MemoryBackend({ max_memory_mb: 16 });
  for (const [i, text] of TEXTS.entries()) {
    const key = `k${text}`;
    const problem = create(ProblemSchema, {
      name: TEXTS[(i + 3) % TEXTS.length] ?? '',
      solver: i % 2 === 0 ? 'nsga2' : text,
    });
    const tags: Record<string, string> = i % 3 === 0 ? {} : i % 3 === 1 ? { t: text } : { t: 'a', ä: text };
    await save(memory, key, [], { problem, tags, description: TEXTS[(i + 7) % TEXTS.length] ?? '' });
  }
  const manifests = await all(memory.list(query({}), RUNNING));
  return manifests.map((original, i) => {
    const manifest = clone(ManifestSchema, original);
    manifest.outcome = [Outcome.FINISHED, Outcome.FAILED, Outcome.STOPPED][i % 3] ?? Outcome.FINISHED;
    manifest.columns = OBJECTIVES.filter((_, j) => (i + j) % 2 === 0).map((name, j) =>
      create(ColumnSummarySchema, { name, best: NUMBERS[(i + j) % NUMBERS.length] ?? 0 }),
    );
    return manifest;
  });
}

function query(more: Partial<ListQuery>): ListQuery {
  return { prefix: '', filter: undefined, orderBy: 'key', descending: false, ...more };
}

// eslint-disable-next-line require-yield
async function* noRows() {
  throw new Error('rows were read');
}

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

describe.each(['sqlite', 'postgresql'])('lists of %s', (dialect) => {
  let backend: DatabaseBackend;
  let reference: MemoryBackend;
  let manifests: Manifest[];
  beforeAll(async () => {
    const connection_string = dialect === 'sqlite' ? 'sqlite://' : await server.createDatabase();
    backend = await openDatabaseBackend({ connection_string });
    reference = new MemoryBackend({ max_memory_mb: 16 });
    manifests = await someResults();
    for (const manifest of manifests) {
      const source = clone(ManifestSchema, manifest);
      // A copy without rows takes none; its summaries are those of its source.
      source.columns = [];
      await backend.copyIn(source, noRows, { replace: false }, RUNNING);
      await reference.copyIn(source, noRows, { replace: false }, RUNNING);
      const describeAs = (target: Manifest) =>
        void ((target.columns = manifest.columns), (target.outcome = manifest.outcome));
      const there = await backend.annotate(manifest.key, undefined, describeAs);
      const here = await reference.annotate(manifest.key, undefined, describeAs);
      here.updateTime = there.updateTime;
    }
  });
  afterAll(async () => {
    await backend[Symbol.asyncDispose]();
    await reference[Symbol.asyncDispose]();
  });

  test('filters mean what they mean where results are looked through one by one', async () => {
    const times = manifests.flatMap(({ commitTime, createTime }) => [nanoseconds(commitTime), nanoseconds(createTime)]);
    const keys = manifests.map(({ key }) => key);
    const property = fc.asyncProperty(anyFilter(times, keys), async (filter) => {
      const wanted = (await all(reference.list(query({ filter }), RUNNING))).map(({ key }) => key);
      expect((await all(backend.list(query({ filter }), RUNNING))).map(({ key }) => key)).toEqual(wanted);
    });
    await fc.assert(property, { numRuns: 400 });
    // Most filters hold for none or for all: of those that part the results, there are always enough as well.
    const parting = fc.asyncProperty(anyFilter(times, keys), async (filter) => {
      const wanted = (await all(reference.list(query({ filter }), RUNNING))).map(({ key }) => key);
      fc.pre(wanted.length > 0 && wanted.length < keys.length);
      expect((await all(backend.list(query({ filter }), RUNNING))).map(({ key }) => key)).toEqual(wanted);
    });
    await fc.assert(parting, { numRuns: 100 });
  });

  test('pages go on where the one before ended, in every order, from every prefix', async () => {
    const anyQuery = fc.record({
      prefix: fc.constantFrom('', 'k', 'ka', 'k\u{10ffff}', 'k\ud7ff', 'x'),
      orderBy: fc.constantFrom<ListOrder>('key', 'commit_time'),
      descending: fc.boolean(),
      filter: fc.option(fc.constantFrom(allTags({ t: 'a' }), allTags({ ä: 'ab', t: 'a' })), { nil: undefined }),
      after: fc.option(fc.nat(manifests.length - 1), { nil: undefined }),
    });
    const property = fc.asyncProperty(anyQuery, async ({ after: index, ...rest }) => {
      const place = index === undefined ? undefined : manifests[index];
      const time = rest.orderBy === 'key' ? 0n : nanoseconds(place?.commitTime);
      const asked = query({ ...rest, ...(place && { after: { key: place.key, time } }) });
      const wanted = (await all(reference.list(asked, RUNNING))).map(({ key }) => key);
      expect((await all(backend.list(asked, RUNNING))).map(({ key }) => key)).toEqual(wanted);
    });
    await fc.assert(property, { numRuns: 200 });
  });
});
