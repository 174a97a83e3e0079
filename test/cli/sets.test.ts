import { afterAll, describe, expect, test } from 'vitest';
import { removeAll } from '../../clients/cli/commands/delete-prefix.js';
import { createClient } from '../../clients/typescript/index.js';
import { Bench, problemOf } from './cli.js';

const bench = await Bench.start();
afterAll(() => bench[Symbol.asyncDispose]());

const problem = problemOf(['x', 'INT64']);
const csv = ['x', ...Array.from({ length: 20 }, (_, i) => i)].join('\n');
const save = (key: string) => bench.save(key, csv, problem);

describe('optistore set', () => {
  test('makes, joins, lists, loads and deletes named rows', async () => {
    await save('sets/a');
    expect(await bench.ok('set', 'sets/a', 'front', '--rows', '10:12,3,0:2', '--description', 'the best')).toBe(
      'sets/a front: 5 rows, revision 2\n',
    );
    await bench.ok('set', 'sets/a', 'low', '--rows', '0:5,2:4');
    expect(await bench.ok('set', 'sets/a', 'any', '--union', 'front,low')).toContain('any: 7 rows');
    expect(await bench.ok('set', 'sets/a', 'both', '--intersection', 'front,low')).toContain('both: 3 rows');
    expect(await bench.ok('set', 'sets/a', 'high', '--difference', 'front,low')).toContain('high: 2 rows');
    expect(await bench.ok('load', 'sets/a', '--set', 'both')).toBe('x\n0\n1\n3\n');
    expect(await bench.ok('load', 'sets/a', '--set', 'any', '--rows', '4:6')).toBe('x\n4\n10\n');
    const lines = (await bench.ok('set', 'sets/a')).split('\n');
    expect(lines.map((line) => line.split('\t').slice(0, 3))).toEqual([
      ['any', '7 rows', 'union of front, low'],
      ['both', '3 rows', 'intersection of front, low'],
      ['front', '5 rows', ''],
      ['high', '2 rows', 'difference of front, low'],
      ['low', '5 rows', ''],
      [''],
    ]);
    expect(lines[2]).toMatch(/\tthe best$/);
    await bench.ok('set', 'sets/a', 'low', '--delete');
    const { resultSets } = await bench.json('set', 'sets/a');
    expect((resultSets as { name: string }[]).map(({ name }) => name)).toEqual(['any', 'both', 'front', 'high']);
    expect(await bench.run('load', 'sets/a', '--set', 'low')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('[RESULT_SET_NOT_FOUND]') as string,
    });
  });

  test.each([
    [['set', 'k', 's']],
    [['set', 'k', 's', '--rows', '1', '--union', 'a,b']],
    [['set', 'k', 's', '--rows', '1', '--delete']],
    [['set', 'k', 's', '--rows', '5:5']],
    [['set', 'k', 's', '--rows', 'a']],
    [['set', 'k', '--rows', '1']],
  ])('%j is wrong usage', async (args) => {
    const { code, stderr } = await bench.run(...args);
    expect({ code, isExplained: stderr.startsWith('error: ') }).toEqual({ code: 2, isExplained: true });
  });
});

describe('optistore copy and move', () => {
  test('give a result another key', async () => {
    await save('copy/a');
    expect(await bench.ok('copy', 'copy/a', 'copy/b')).toBe('copy/a → copy/b: copied, 20 rows, revision 1\n');
    expect(await bench.ok('move', 'copy/a', 'copy/c')).toBe('copy/a → copy/c: moved, 20 rows, revision 1\n');
    expect((await bench.run('show', 'copy/a')).code).toBe(1);
    expect(await bench.ok('load', 'copy/c')).toBe(await bench.ok('load', 'copy/b'));
    const { code, stderr } = await bench.run('copy', 'copy/b', 'copy/c');
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('[REVISION_MISMATCH]') as string });
    await bench.ok('copy', 'copy/b', 'copy/c', '--expected-revision', '1');
  });
});

describe('optistore delete --prefix', () => {
  test('tells what would go, asks for a word from a script, and deletes', async () => {
    for (const key of ['old/1', 'old/2', 'older']) await save(key);
    const dry = await bench.ok('delete', '--prefix', 'old/', '--dry-run');
    expect(dry.split('\n').map((line) => line.split('\t')[0])).toEqual([
      'old/1',
      'old/2',
      expect.stringMatching(/^2 results, .* MB: nothing was deleted/),
      '',
    ]);
    const unasked = await bench.run('delete', '--prefix', 'old/');
    expect(unasked).toMatchObject({ code: 1, stderr: expect.stringContaining('--yes') as string });
    expect((await bench.ok('list', 'old')).split('\n')).toHaveLength(4);
    expect(await bench.ok('delete', '--prefix', 'old/', '--yes')).toBe('2 results deleted\n');
    expect((await bench.ok('list', 'old')).split('\t')[0]).toBe('older');
    expect(await bench.ok('delete', '--prefix', 'old/', '--yes')).toBe('0 results deleted\n');
  });

  test('leaves alone what was changed or deleted since it was listed, and names it', async () => {
    await using client = createClient({ address: bench.daemon.address });
    for (const key of ['gone/1', 'gone/2', 'gone/3']) await save(key);
    const listed = [];
    for await (const result of client.listResults({ prefix: 'gone/' })) listed.push(result);
    await save('gone/1');
    await client.deleteResult('gone/2');
    expect(await removeAll(client, listed)).toEqual(['gone/1', 'gone/2']);
    expect((await bench.ok('list', 'gone/')).split('\t')[0]).toBe('gone/1');
  });

  test.each([
    [['delete']],
    [['delete', 'k', '--prefix', 'k']],
    [['delete', '--prefix', '', '--yes']],
    [['delete', 'k', '--dry-run']],
    [['delete', '--prefix', 'k', '--expected-revision', '1']],
  ])('%j is wrong usage', async (args) => {
    expect((await bench.run(...args)).code).toBe(2);
  });
});
