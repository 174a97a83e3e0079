import { execFile } from 'node:child_process';
import { access, constants, readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../clients/cli/daemon-process.js';
import { Bench, Folder, problemOf, run, Running, start, until } from './cli.js';

const PROBLEM = problemOf(['n', 'INT64']);

/** A daemon with a Unix socket beside TCP. */
const withSocket = () => Bench.start((folder) => ['--socket', folder.at('optistore.sock')]);

describe('serve', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('ends with 0 on %s, and keeps everything', async (signal) => {
    await using folder = await Folder.make();
    const serve = ['serve', '--path', folder.at('data'), '--listen', `127.0.0.1:${await freePort()}`];
    const server = ['--server', serve.at(-1) ?? ''];
    const table = await folder.file('in.csv', 'n\n1\n2\n');
    const problem = await folder.file('problem.json', PROBLEM);
    for (const key of ['first', 'second']) {
      await using daemon = start(serve);
      await until(
        () => daemon.stderr,
        (log) => log.includes('"msg":"serving"'),
      );
      expect(await run(['save', key, table, '--problem', problem, ...server])).toMatchObject({ code: 0 });
      expect(await run(['load', 'first', ...server])).toMatchObject({ stdout: 'n\n1\n2\n' });
      expect(await daemon.stop(signal)).toMatchObject({ code: 0, stdout: '' });
    }
  });

  test('on SIGTERM tells a running save, which goes on when the daemon is back', async () => {
    await using bench = await Bench.start();
    const problem = await bench.folder.file('problem.json', PROBLEM);
    await using saving = bench.start('save', 'k', '-', '--problem', problem, '--upload-id', 'drained');
    saving.print('n\n1\n2\n3\n4\n');
    await bench.durable('drained', 1);
    expect(await bench.daemon.process.stop('SIGTERM')).toBe(0);
    // Not that its call was cancelled: it was told why, and where it stopped.
    await until(
      () => saving.stderr,
      (text) => text.includes('Reconnecting.'),
    );
    const told = saving.stderr;
    await bench.daemon.restart();
    saving.print('5\n');
    saving.closeInput();
    expect(await saving.ended()).toMatchObject({ code: 0, stdout: 'k: 5 rows, revision 1\n' });
    expect(await bench.ok('load', 'k')).toBe('n\n1\n2\n3\n4\n5\n');
    expect(told).toMatch(/^The daemon is stopping/);
  });

  test('logs a JSON object a line, a line a call, and never the rows', async () => {
    await using bench = await Bench.start();
    await bench.save('secret-run', 'n\n777123777\n', PROBLEM);
    await bench.ok('load', 'secret-run');
    await bench.daemon.process.stop('SIGTERM');
    const lines = bench.daemon.process.log.map((line) => JSON.parse(line) as { msg: string; method?: string });
    expect(lines.flatMap(({ method }) => method ?? [])).toEqual(['SaveResult', 'LoadResult']);
    expect(bench.daemon.process.log.join('\n')).not.toContain('777123777');
  });

  test('a second one on the same folder says so, ends with 1, and the first goes on', async () => {
    await using bench = await Bench.start();
    const path = resolve(bench.daemon.folder, 'data');
    const { code, stdout, stderr } = await run(['serve', '--path', path, '--listen', '127.0.0.1:0']);
    expect(stderr).toMatch(/^Another process has the store at .* open\..*BACKEND_LOCKED/);
    expect(stderr).toContain(path);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect([code, stdout]).toEqual([1, '']);
    expect(await bench.ok('status')).toContain('ready');
  });

  test('a second one on the same address says which address, and ends with 1', async () => {
    await using bench = await Bench.start();
    const { address } = bench.daemon;
    const { code, stderr } = await run(['serve', '--path', bench.folder.at('other'), '--listen', address]);
    expect(stderr).toContain(`Can't listen on ${address}`);
    expect(stderr).toContain('--listen');
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });

  test('a folder that can not be made is an error that names it', async () => {
    await using folder = await Folder.make();
    const path = `${await folder.file('a-file', '')}/data`;
    const { code, stderr } = await run(['serve', '--path', path, '--listen', '127.0.0.1:0']);
    expect(stderr).toContain(path);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });
});

describe('the Unix socket', () => {
  test('only its user may connect, and every command goes through it', async () => {
    await using bench = await withSocket();
    const socket = bench.folder.at('optistore.sock');
    expect(((await stat(socket)).mode & 0o777).toString(8)).toBe('600');
    const table = await bench.folder.file('in.csv', 'n\n1\n');
    const problem = await bench.folder.file('problem.json', PROBLEM);
    const server = ['--server', `unix:${socket}`];
    expect(await run(['save', 'k', table, '--problem', problem, ...server])).toMatchObject({ code: 0, stderr: '' });
    expect(await run(['load', 'k', ...server])).toMatchObject({ code: 0, stdout: 'n\n1\n' });
    expect(await run(['list'], { env: { OPTISTORE_SERVER: `unix:${socket}` } })).toMatchObject({ code: 0 });
    // A path relative to where the command runs does too.
    expect(await run(['list', '--server', 'unix:optistore.sock'], { cwd: bench.folder.path })).toMatchObject({
      code: 0,
    });
    expect(await bench.ok('load', 'k')).toBe('n\n1\n');
  });

  test('goes with the daemon, and one left by a killed daemon is replaced', async () => {
    await using bench = await withSocket();
    const socket = bench.folder.at('optistore.sock');
    await bench.daemon.process.stop('SIGKILL');
    await bench.daemon.restart('--socket', socket);
    expect(await run(['status', '--server', `unix:${socket}`])).toMatchObject({ code: 0 });
    expect(((await stat(socket)).mode & 0o777).toString(8)).toBe('600');
    expect(await bench.daemon.process.stop('SIGTERM')).toBe(0);
    await expect(stat(socket)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('is not taken from a daemon that serves it', async () => {
    await using bench = await withSocket();
    const socket = bench.folder.at('optistore.sock');
    const serve = ['serve', '--path', bench.folder.at('other'), '--listen', '127.0.0.1:0', '--socket', socket];
    const { code, stderr } = await run(serve);
    expect(stderr).toContain(socket);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
    expect(await run(['status', '--server', `unix:${socket}`])).toMatchObject({ code: 0 });
  });

  test('is not made over a file that is no socket', async () => {
    await using folder = await Folder.make();
    const notes = await folder.file('notes.txt', 'mine');
    const serve = ['serve', '--path', folder.at('data'), '--listen', '127.0.0.1:0', '--socket', notes];
    await using daemon = start(serve);
    await until(
      () => daemon.stderr,
      (text) => text !== '',
    );
    expect(await folder.read('notes.txt').catch(() => 'gone')).toBe('mine');
    const { code, stderr } = await daemon.ended();
    expect(stderr).toContain(notes);
    expect(code).toBe(1);
  });

  test('without a daemon behind it, a command says where it looked', async () => {
    await using folder = await Folder.make();
    const { code, stderr } = await run(['list', '--server', `unix:${folder.at('none.sock')}`]);
    expect(stderr).toMatch(/No daemon answers at unix:.*none\.sock.*optistore serve/);
    expect(code).toBe(1);
  });
});

describe('the command', () => {
  test('is the file that package.json names, and runs by itself', async () => {
    const { bin } = JSON.parse(await readFile('package.json', 'utf8')) as { bin: { optistore: string } };
    await access(bin.optistore, constants.X_OK);
    await using running = Running.start(['--help'], {}, resolve(bin.optistore));
    running.closeInput();
    expect(await running.ended()).toMatchObject({ code: 0, stderr: '' });
  });

  test('is npx optistore in a built checkout, without a network', async () => {
    await using folder = await Folder.make();
    const env = { ...process.env, npm_config_cache: folder.at('npm'), npm_config_offline: 'true' };
    const { stdout } = await promisify(execFile)('npx', ['optistore', '--help'], { env });
    expect(stdout).toContain('Usage: optistore');
  });
});
