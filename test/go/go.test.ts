import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codeBlocks } from '../docs/code-blocks.js';
import { goTool } from '../rpc/go-tool.js';
import { MAIN, TestDaemon } from '../rpc/wire.js';

const CLIENT = 'clients/go';
const CODE = join(CLIENT, 'optistorev1');
/** What has made the generated code. */
const GENERATORS = [
  ['google.golang.org/protobuf/cmd/protoc-gen-go', 'v1.36.12'],
  ['google.golang.org/grpc/cmd/protoc-gen-go-grpc', 'v1.6.2'],
] as const;

const run = promisify(execFile);

/** What a command prints; fails with all that it says. */
async function output(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const options = { cwd: CLIENT, env: { ...process.env, ...env }, timeout: 280_000 };
  try {
    return (await run(command, args, options)).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}`, { cause: error });
  }
}

describe('the Go client', () => {
  let daemon: TestDaemon;
  let generated: string;
  beforeAll(async () => {
    daemon = await TestDaemon.startIn((folder) => ({ socket: join(folder, 'socket') }));
    generated = await mkdtemp(join(tmpdir(), 'optistore-go-'));
  });
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await rm(generated, { recursive: true, force: true });
  });

  test('has the code that proto gives', { timeout: 300_000 }, async () => {
    const folders: string[] = [];
    for (const [module, version] of GENERATORS) folders.push(dirname(await goTool(module, version)));
    const PATH = [...folders, process.env['PATH']].join(':');
    const from = ['--template', join(CLIENT, 'buf.gen.yaml'), '--path', 'proto/optistore/v1'];
    const buf = resolve('node_modules/.bin/buf');
    await run(buf, ['generate', ...from, '-o', generated], { env: { ...process.env, PATH }, timeout: 60_000 });
    const filesOf = (folder: string) =>
      Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
    expect(filesOf(CODE)).toEqual(filesOf(join(generated, CODE)));
  });

  test('has the form that gofmt gives', async () => {
    expect(await output('gofmt', ['-l', '.'])).toBe('');
  });

  test('passes go vet and its tests, over TCP and the Unix socket', { timeout: 300_000 }, async () => {
    await output('go', ['vet', './...']);
    const told = await output('go', ['test', '-count=1', '-timeout', '240s', '-v', '.'], {
      OPTISTORE_SERVER: daemon.address,
      OPTISTORE_TEST_SOCKET: join(daemon.folder, 'socket'),
      OPTISTORE_COMMAND: `${process.execPath} ${resolve(MAIN)}`,
    });
    // None is left out, and the examples are among them.
    expect(told).toMatch(/^--- PASS: Example \(/m);
    expect(told).not.toMatch(/^\s*--- (FAIL|SKIP)/m);
  });

  test('docs/clients/go.md has the code of its examples', () => {
    const examples = readFileSync(join(CLIENT, 'example_test.go'), 'utf8').replaceAll(/^\t/gm, '');
    const told = codeBlocks(readFileSync('docs/clients/go.md', 'utf8'), 'go');
    expect(told.length).toBeGreaterThan(2);
    for (const code of told) expect(examples).toContain(code);
  });
});
