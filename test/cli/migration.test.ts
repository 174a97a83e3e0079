import { join } from 'node:path';
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, ProblemSchema } from '../../clients/typescript/index.js';
import { PostgresServer } from '../backends/postgres.js';
import { TwoStoreDaemon } from '../rpc/two-stores.js';
import { Folder, problemOf, run, start, until } from './cli.js';

const PROBLEM = problemOf(['n', 'INT64'], ['x', 'FLOAT64']);
const CSV = 'n,x\n1,0.5\n2,\n3,1.5\n';

let folder: Folder;
let daemon: TwoStoreDaemon;

beforeAll(async () => {
  folder = await Folder.make();
  await folder.file('problem.json', PROBLEM);
  daemon = await TwoStoreDaemon.start();
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const cli = (address: string, ...args: string[]) => run([...args, '--server', address]);

/** Runs a command that has to succeed without a word on standard error; gives what it printed. */
async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(daemon.address, ...args);
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
}

const save = (key: string) => saveAt(daemon.address, key);

/** Saves the same table without a process for it; gives the revision. */
async function saveAt(address: string, key: string): Promise<bigint> {
  await using client = createClient({ address });
  const writer = await client.save(key, fromJson(ProblemSchema, PROBLEM));
  await writer.append({ n: [1, 2, 3], x: [0.5, null, 1.5] });
  return (await writer.commit()).revision;
}

async function placesOf(key: string): Promise<unknown[]> {
  const { placements } = JSON.parse(await ok('show', key, '--json')) as { placements: JsonObject[] };
  return placements.map(({ backend }) => backend);
}

describe('migrate', () => {
  test('moves a result, or copies it, and says so', async () => {
    await save('one');
    expect(await ok('migrate', 'one', '--from', 'primary', '--to', 'secondary', '--keep')).toBe(
      'one: copied, primary → secondary, 3 rows, revision 1\n',
    );
    expect(await placesOf('one')).toEqual(['BACKEND_PRIMARY', 'BACKEND_SECONDARY']);
    expect(await ok('migrate', 'one', '--from', 'primary', '--to', 'secondary')).toBe(
      'one: moved, primary → secondary, 3 rows, revision 1\n',
    );
    expect(await placesOf('one')).toEqual(['BACKEND_SECONDARY']);
    expect(await ok('load', 'one')).toBe(CSV);
  });

  test('moves many, or all', async () => {
    for (const key of ['runs/a', 'runs/b', 'else']) await save(key);
    expect(await ok('migrate', '--prefix', 'runs/', '--from', 'primary', '--to', 'secondary')).toBe(
      '2 results moved, primary → secondary\n',
    );
    const lines = await ok('migrate', '--all', '--from', 'primary', '--to', 'secondary', '--json');
    expect(JSON.parse(lines)).toMatchObject({ key: 'else', done: true, doneCount: '1', totalCount: '1' });
    expect(await ok('migrate', '--all', '--from', 'primary', '--to', 'secondary')).toBe(
      '0 results moved, primary → secondary\n',
    );
  });

  test.each([
    ['of a key that is not there', ['none', '--from', 'primary', '--to', 'secondary'], 1, /RESULT_NOT_FOUND/],
    ['to the cache without --keep', ['one', '--from', 'secondary', '--to', 'cache'], 1, /--keep.*VOLATILE_TARGET/],
    ['without --from', ['one', '--to', 'secondary'], 2, /--from/],
    ['without --to', ['one', '--from', 'primary'], 2, /--to/],
    [
      'to a store of no such name',
      ['one', '--from', 'primary', '--to', 'tape'],
      2,
      /primary, secondary or cache was expected/,
    ],
    ['to where it is', ['one', '--from', 'primary', '--to', 'primary'], 2, /both the primary/],
    ['of nothing', ['--from', 'primary', '--to', 'secondary'], 2, /either a key, --prefix or --all/],
    ['of two things', ['one', '--all', '--from', 'primary', '--to', 'secondary'], 2, /either a key/],
    ['of an empty prefix', ['--prefix', '', '--from', 'primary', '--to', 'secondary'], 2, /--all/],
  ])('%s is an error, with its exit code', async (_, args, expected, message) => {
    const { code, stdout, stderr } = await cli(daemon.address, 'migrate', ...args);
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([expected, '']);
  });
});

describe('replicate', () => {
  test('copies what the secondary lacks, and says how much', async () => {
    for (const key of ['late/a', 'late/b']) await save(key);
    expect(await ok('replicate', 'late/')).toBe('2 results and deletions looked at, 2 copied to the secondary\n');
    expect(await placesOf('late/a')).toEqual(['BACKEND_PRIMARY', 'BACKEND_SECONDARY']);
    expect(JSON.parse(await ok('replicate', 'late/', '--json'))).toMatchObject({ doneCount: '2' });
  });
});

describe('what could not be copied', () => {
  test('is named, and makes the commands end with 1', async () => {
    await using own = await TwoStoreDaemon.start();
    for (const key of ['a', 'b']) await saveAt(own.address, key);
    await own.process.stop('SIGTERM');
    {
      // Changed in both, each without the other.
      await using stores = await own.openStores();
      const signal = new AbortController().signal;
      const source = await stores.primary.stat('a', undefined, signal);
      const read = () => stores.primary.read(source, { columns: [0, 1], firstRow: 0, rowCount: 3 }, signal);
      await stores.secondary.copyIn(source, read, { replace: false }, signal);
      await stores.secondary.annotate('a', undefined, () => undefined, signal);
    }
    await own.restart();
    const told = /^a: "a" is at revision 2 here.*$/m;
    const replicated = await cli(own.address, 'replicate');
    expect(replicated).toMatchObject({ code: 1, stderr: '' });
    expect(replicated.stdout).toMatch(told);
    expect(replicated.stdout).toMatch(/1 copied to the secondary, 1 could not be copied\n$/);
    const stored = await cli(own.address, 'migrate-store');
    expect(stored).toMatchObject({ code: 1, stderr: '' });
    expect(stored.stdout).toMatch(/The secondary has not everything/);
    const migrated = await cli(own.address, 'migrate', '--all', '--from', 'primary', '--to', 'secondary');
    expect(migrated).toMatchObject({ code: 1, stderr: '' });
    expect(migrated.stdout).toMatch(told);
    expect(migrated.stdout).toMatch(/1 result moved, primary → secondary; 1 left in the primary\n$/);
  }, 120_000);
});

describe('LevelDB to PostgreSQL', () => {
  let postgres: PostgresServer;

  beforeAll(async () => {
    postgres = await PostgresServer.start();
  });

  afterAll(() => postgres[Symbol.asyncDispose]());

  test('a store is migrated as docs/migration.md says, and everything is there after the swap', async () => {
    const database = { type: 'database', connection_string: await postgres.createDatabase() };
    await using own = await TwoStoreDaemon.start({ secondary: database });
    const said = async (...args: string[]) => {
      const { code, stdout, stderr } = await cli(own.address, ...args);
      expect([code, stderr]).toEqual([0, '']);
      return stdout;
    };
    for (const key of ['runs/a', 'runs/b', 'runs/gone']) await saveAt(own.address, key);
    await said('update', 'runs/b', '--tag', 'team=wing');
    await said('delete', 'runs/gone');
    const report = await said('migrate-store');
    expect(report).toMatch(
      /^3 results and deletions looked at, 3 copied to the secondary\nThe secondary has everything/,
    );
    expect(report).toMatch(/swap the two in optistore\.yaml/);
    // Saved while the old primary still serves.
    await saveAt(own.address, 'runs/late');
    expect(await said('migrate-store')).toMatch(/^4 results and deletions looked at, \d copied/);
    const before = await said('list', '--json');
    await own.process.stop('SIGTERM');
    await own.restart({ primary: database, secondary: { type: 'leveldb', path: join(own.folder, 'primary') } });
    const withoutSizes = (text: string) =>
      (JSON.parse(text) as { results: JsonObject[] }).results.map(({ key, revision, tags, commitTime, rowCount }) => ({
        ...{ key, revision, tags, commitTime, rowCount },
      }));
    expect(withoutSizes(await said('list', '--json'))).toEqual(withoutSizes(before));
    expect(await said('load', 'runs/late')).toBe(CSV);
    expect(await said('verify')).toMatch(/0 corrupt/);
    expect((await cli(own.address, 'show', 'runs/gone')).stderr).toMatch(/RESULT_NOT_FOUND/);
    expect(await saveAt(own.address, 'runs/a')).toBe(2n);
  }, 120_000);
});

describe('migrate-store', () => {
  test('names saves in progress, and what is to be done about them', async () => {
    const from = ['-', '--problem', folder.at('problem.json'), '--upload-id', 'still-open'];
    await using saving = start(['save', 'open', ...from, '--server', daemon.address]);
    saving.print(CSV);
    await until(
      () => ok('uploads'),
      (text) => text.includes('still-open'),
    );
    expect(await ok('migrate-store')).toMatch(
      /alone: still-open\.\nWait until they are committed, or give them up.*\nThen say this again, before you go on:\n/,
    );
    expect(JSON.parse(await ok('migrate-store', '--json'))).toMatchObject({
      ...{ done: true, complete: true, openUploadIds: ['still-open'] },
    });
    saving.closeInput();
    expect(await saving.ended()).toMatchObject({ code: 0 });
    expect(await ok('migrate-store')).not.toMatch(/still-open/);
  });
});
