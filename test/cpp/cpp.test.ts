import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { builtOnce } from '../built-once.js';
import { Running, until } from '../cli/cli.js';
import { TestDaemon } from '../rpc/wire.js';

const EXAMPLES = 'examples/cpp';
const CACHE = resolve('node_modules/.cache/optistore-cpp');
const ROWS = 3_000_000;

const run = promisify(execFile);

/** What is needed and not there, by name: Debian's packages are named in build.sh. */
const MISSING = [
  ['protoc', '--version'],
  ['grpc_cpp_plugin', '--version'],
  ['g++', '--version'],
  ['pkg-config', '--exists', 'grpc++', 'protobuf'],
].flatMap(([command = '', ...args]) => {
  // The plugin reads a request from standard input, whatever it is asked.
  const { error, status } = spawnSync(command, args, { input: '', timeout: 10_000 });
  return error !== undefined || (command === 'pkg-config' && status !== 0) ? [[command, ...args].join(' ')] : [];
});

/** Builds the examples, once for each content of them and of the contract. */
async function built(): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of [EXAMPLES, 'proto/optistore/v1'])
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isFile()) hash.update(entry.name).update(readFileSync(join(folder, entry.name)));
  return builtOnce(join(CACHE, hash.digest('hex').slice(0, 16)), (started) =>
    run(join(EXAMPLES, 'build.sh'), [started], { timeout: 280_000 }),
  );
}

const title =
  MISSING.length === 0 ? '' : ` (skipped, since there is no ${MISSING.join(', ')}: see ${EXAMPLES}/build.sh)`;

describe.skipIf(MISSING.length > 0)(`the C++ examples${title}`, () => {
  let daemon: TestDaemon;
  let folder: string;

  beforeAll(async () => {
    [daemon, folder] = await Promise.all([TestDaemon.start(), built()]);
  });
  afterAll(() => daemon[Symbol.asyncDispose]());

  const start = (name: string, ...args: string[]) =>
    Running.start(args, { env: { OPTISTORE_SERVER: daemon.address } }, join(folder, name));

  test('ten lines save two rows', async () => {
    await using saving = start('ten_lines');
    const { code, stdout } = await saving.ended();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^opened \{[^]*^committed \{ result \{ key: "runs\/ten"/m);
    await using client = createClient({ address: daemon.address });
    const { columns } = await client.load('runs/ten').toColumns();
    expect(columns['x']?.values).toEqual(Float64Array.of(0.5, 0.25));
  });

  test('a save is acked, committed, and loaded bit for bit', async () => {
    await using saving = start('save');
    const { code, stdout, stderr } = await saving.ended();
    expect(stdout).toMatch(/^from row 0\n(\d+ rows are safe\n)*revision 1\n$/);
    expect([code, stderr]).toEqual([0, '']);
    await using loading = start('load', 'runs/cpp', 'f');
    const loaded = await loading.ended();
    const expected = Array.from({ length: 1000 }, (_, i) => (i / 100 - 5) ** 2);
    expect(loaded.stdout.trim().split('\n').map(Number)).toEqual(expected);
    expect([loaded.code, loaded.stderr]).toEqual([0, '']);
  });

  test('a save that is killed goes on at next_row with the same upload id, each row once', async () => {
    await using first = start('save', String(ROWS), 'killed');
    await until(
      () => first.stdout,
      (text) => text.includes('rows are safe'),
    );
    await first.stop('SIGKILL');
    const [, acked = ''] = [...first.stdout.matchAll(/^(\d+) rows are safe$/gm)].at(-1) ?? [];
    await using second = start('save', String(ROWS), 'killed');
    const { code, stdout } = await second.ended();
    const [, from = ''] = /^from row (\d+)$/m.exec(stdout) ?? [];
    expect(Number(from)).toBeGreaterThanOrEqual(Number(acked));
    expect(Number(from)).toBeLessThan(ROWS);
    expect(code).toBe(0);
    await using client = createClient({ address: daemon.address });
    const x = (await client.load('runs/cpp').toColumns()).columns['x']?.values ?? [];
    expect(x.length).toBe(ROWS);
    expect(x.findIndex((value, i) => value !== i / 100 - 5)).toBe(-1);
  });

  test('a failure is told, by the exit code too', async () => {
    await using loading = start('load', 'runs/none', 'f');
    expect(await loading.ended()).toMatchObject({ code: 1, stdout: '' });
    expect(loading.stderr).toContain('runs/none');
  });
});

test('docs/clients/cpp.md has the very examples', () => {
  const told = readFileSync('docs/clients/cpp.md', 'utf8');
  for (const name of ['ten_lines.cpp', 'save.cpp', 'load.cpp'])
    expect(told).toContain(`\`\`\`cpp\n${readFileSync(join(EXAMPLES, name), 'utf8')}\`\`\`\n`);
});
