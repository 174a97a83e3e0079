import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, Outcome, type OptistoreClient } from '../../clients/typescript/index.js';
import { Channel } from '../../clients/typescript/channel.js';
import { UpdateResultRequestSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { Bench, problemOf } from '../cli/cli.js';
import { all } from '../backends/runs.js';
import { PROBLEM, TestDaemon } from './wire.js';

let daemon: TestDaemon;
let client: OptistoreClient;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  client = createClient({ address: daemon.address });
});

afterAll(async () => {
  client.close();
  await daemon[Symbol.asyncDispose]();
});

async function saved(key: string): Promise<void> {
  const writer = await client.save(key, PROBLEM, { tags: { a: '1', 'b.c': '2' }, attributes: { n: 1, m: 2 } });
  await writer.append({ x: [1, 2], label: ['p', 'q'] });
  await writer.commit();
}

async function updated(key: string, result: object, paths: string[], expectedRevision?: bigint) {
  const channel = new Channel(daemon.address);
  try {
    const more = expectedRevision === undefined ? {} : { expectedRevision };
    const request = create(UpdateResultRequestSchema, { result: { key, ...result }, updateMask: { paths }, ...more });
    return (await channel.unary('updateResult', request)).result;
  } finally {
    channel.close();
  }
}

test('changes what the mask names, and nothing else; the rows stay', async () => {
  await saved('k');
  const result = { tags: { a: '3', 'b.c': '4', d: '5' }, description: 'new', attributes: { n: 7 } };
  expect(await updated('k', result, ['tags.a', 'tags.d', 'attributes.n', 'attributes.none'])).toMatchObject({
    ...{ revision: 2n, rowCount: 2n, description: '', outcome: Outcome.FINISHED },
    tags: { a: '3', 'b.c': '2', d: '5' },
    attributes: { n: 7, m: 2 },
  });
  expect((await updated('k', {}, ['tags.b.c', 'attributes.m']))?.tags).toEqual({ a: '3', d: '5' });
  const whole = await updated('k', result, ['tags', 'attributes', 'description', 'outcome']);
  expect(whole).toMatchObject({ revision: 4n, description: 'new', outcome: Outcome.UNSPECIFIED, attributes: { n: 7 } });
  expect(whole?.tags).toEqual(result.tags);
  expect((await updated('k', {}, ['attributes']))?.attributes).toBeUndefined();
  expect((await all(client.load('k'))).map(({ rowCount }) => rowCount)).toEqual([2]);
});

test('refuses what a save would refuse, unknown fields, and another revision than expected', async () => {
  await saved('refused');
  const refusals: readonly [result: object, paths: string[], reason: string][] = [
    [{}, [], 'REQUEST_INVALID'],
    [{}, ['problem'], 'REQUEST_INVALID'],
    [{}, ['description.x'], 'REQUEST_INVALID'],
    [{ outcome: 77 }, ['outcome'], 'REQUEST_INVALID'],
    [{ tags: { '': 'x' } }, ['tags'], 'REQUEST_INVALID'],
    [{ tags: { x: 'y'.repeat(1025) } }, ['tags.x'], 'REQUEST_INVALID'],
    [{ description: 'x'.repeat(70_000) }, ['description'], 'REQUEST_INVALID'],
  ];
  for (const [result, paths, reason] of refusals)
    await expect(updated('refused', result, paths)).rejects.toMatchObject({ reason });
  await expect(updated('refused', {}, ['description'], 7n)).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
  await expect(updated('none', {}, ['description'])).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  await expect(updated('/', {}, ['description'])).rejects.toMatchObject({ reason: 'KEY_INVALID' });
  expect((await client.getResult('refused')).revision).toBe(1n);
});

test('the client sets and removes tags by name', async () => {
  await saved('by-name');
  const result = await client.updateResult('by-name', { tags: { a: null, e: 'f' }, outcome: Outcome.STOPPED });
  expect(result).toMatchObject({ tags: { 'b.c': '2', e: 'f' }, outcome: Outcome.STOPPED });
});

test('lists are filtered, page by page, and a token is good for its filter only', async () => {
  for (let i = 0; i < 12; i++) {
    const writer = await client.save(`list/${i}`, { ...PROBLEM, solver: i % 2 === 0 ? 'even' : 'odd' });
    await writer.append({ x: Array.from({ length: i }, () => 0), label: Array.from({ length: i }, () => '') });
    await writer.commit();
  }
  const keys = async (filter: string) =>
    (await all(client.listResults({ prefix: 'list/', filter, pageSize: 2 }))).map(({ key }) => key);
  expect(await keys('solver = even AND row_count >= 4')).toEqual(['list/10', 'list/4', 'list/6', 'list/8']);
  expect(await keys('NOT solver = even AND (row_count < 3 OR key = "list/11")')).toEqual(['list/1', 'list/11']);
  const bad = all(client.listResults({ filter: 'row_count >= many' }));
  await expect(bad).rejects.toMatchObject({ reason: 'FILTER_INVALID', metadata: { position: '13' } });
});

test('optistore update and list --filter', async () => {
  await using bench = await Bench.start();
  await bench.save('a', 'n\n1\n', problemOf(['n', 'INT64']), '--tag', 'kind=test');
  await bench.save('b', 'n\n1\n2\n', problemOf(['n', 'INT64']));
  const flags = ['--tag', 'team=wing', '--remove-tag', 'kind', '--description', 'x y', '--outcome', 'failed'];
  expect(await bench.ok('update', 'a', ...flags)).toBe('a: revision 2\n');
  expect(await bench.json('show', 'a')).toMatchObject({
    ...{ tags: { team: 'wing' }, description: 'x y', outcome: 'OUTCOME_FAILED' },
  });
  expect(await bench.ok('list', '--filter', 'tags.team = wing')).toMatch(/^a\t[^\n]*\n$/);
  expect(await bench.ok('list', '--filter', 'row_count = 2 AND outcome = FINISHED')).toMatch(/^b\t[^\n]*\n$/);
});
