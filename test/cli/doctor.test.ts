import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestDaemon } from '../rpc/wire.js';
import { Bench, run } from './cli.js';

let bench: Bench;

beforeAll(async () => {
  bench = await Bench.start((folder) => ['--path', folder.at('data')]);
});

afterAll(() => bench[Symbol.asyncDispose]());

interface Finding {
  readonly check: string;
  readonly state: string;
  readonly found: string;
  readonly advice?: string;
}

async function findings(args: string[], env: Record<string, string> = {}): Promise<[number | null, Finding[]]> {
  const { code, stdout } = await run(['doctor', '--json', ...args], { cwd: bench.folder.path, env });
  return [code, (JSON.parse(stdout) as { findings: Finding[] }).findings];
}

const of = (found: Finding[], check: string) => found.find((finding) => finding.check === check);

describe('optistore doctor', () => {
  test('finds nothing wrong with a daemon that is well: server, versions, clocks, token, stores, disk', async () => {
    const env = { OPTISTORE_PRIMARY_PATH: bench.folder.at('data') };
    const [code, found] = await findings(['--server', bench.daemon.address], env);
    expect(found.filter(({ check, state }) => state !== 'ok' && check !== 'primary disk')).toEqual([]);
    for (const check of ['server', 'versions', 'clock', 'token', 'primary', 'primary disk', 'scrub'])
      expect(of(found, check), check).toBeDefined();
    expect(of(found, 'clock')?.found).toMatch(/^the daemon’s is 0\.[0-9] s (ahead|behind)$/);
    expect(of(found, 'primary disk')?.found).toContain(bench.folder.at('data'));
    expect(code).toBe(0);
  });

  test('says where nobody answers how to start a daemon, and ends with 1', async () => {
    const [code, found] = await findings(['--server', '127.0.0.1:1']);
    expect(of(found, 'server')).toMatchObject({
      state: 'failed',
      advice: expect.stringContaining('optistore serve') as string,
    });
    expect(code).toBe(1);
  });

  test('says that the configuration here is not that of the daemon, or that it is wrong', async () => {
    const elsewhere = await findings(['--server', bench.daemon.address], { OPTISTORE_PRIMARY_PATH: '/no/such' });
    expect(of(elsewhere[1], 'primary disk')).toMatchObject({
      state: 'warning',
      advice: expect.stringContaining('--config') as string,
    });
    const config = await bench.folder.file('wrong.yaml', 'listn: here\n');
    const [code, found] = await findings(['--server', bench.daemon.address, '--config', config]);
    expect(of(found, 'configuration')?.found).toContain('listn');
    expect(code).toBe(1);
  });

  test('warns of a token that nobody asks for', async () => {
    const [, found] = await findings(['--server', bench.daemon.address], { OPTISTORE_TOKEN: 'opt_none' });
    expect(of(found, 'token')).toMatchObject({ state: 'warning' });
  });

  test('tells what a token allows, and that one is lacking', async () => {
    const tokens = bench.folder.at('tokens.json');
    const { stdout } = await run(['token', 'create', 'me', '--scope', 'read', '--prefix', 'team/', '--tokens', tokens]);
    await using asking = await TestDaemon.startIn(() => ({ tokens }));
    const [code, found] = await findings(['--server', asking.address], { OPTISTORE_TOKEN: stdout.trim() });
    expect(of(found, 'token')?.found).toBe('me: read, keys under team/');
    expect(code).toBe(0);
    const [codeWithout, without] = await findings(['--server', asking.address]);
    expect(of(without, 'token')).toMatchObject({
      state: 'failed',
      advice: expect.stringContaining('OPTISTORE_TOKEN') as string,
    });
    expect(codeWithout).toBe(1);
  });

  test('prints a line each, marked', async () => {
    const text = await bench.ok('doctor');
    expect(text).toMatch(/^✓ server: 127\.0\.0\.1:\d+ answers in [0-9.]+ ms/);
  });
});
