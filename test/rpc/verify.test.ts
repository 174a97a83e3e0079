import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient, type StoreRole } from '../../clients/typescript/index.js';
import { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import { VerifyState } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { all } from '../backends/runs.js';
import { Folder, run, until } from '../cli/cli.js';
import { flipBit } from '../manager/three-stores.js';
import { PROBLEM, TestDaemon } from './wire.js';

/** Saves rows of PROBLEM. */
async function save(client: OptistoreClient, key: string, rowCount: number): Promise<void> {
  const writer = await client.save(key, PROBLEM);
  const x = Array.from({ length: rowCount }, (_, i) => i);
  if (rowCount > 0) await writer.append({ x, label: x.map((row) => (row % 7 === 0 ? null : `row ${row}`)) });
  await writer.commit();
}

/** Settings of two stores in a folder; each save goes to both. */
function bothIn(folder: Folder) {
  return {
    primary: { type: 'leveldb', path: folder.at('primary') },
    secondary: { type: 'leveldb', path: folder.at('secondary') },
    replication: 'sync',
  };
}

const segmentsOf = (folder: Folder, role: 'primary' | 'secondary') => join(folder.at(role), 'segments');

test('verify reads every byte past the cache, and tells which result does not check', async () => {
  await using daemon = await TestDaemon.start();
  await using client = createClient({ address: daemon.address });
  await save(client, 'empty', 0);
  await save(client, 'large', 20_000);
  await save(client, 'small', 3);
  // Now in the cache, and still right there.
  await all(client.load('large'));
  const verified = async () => (await all(client.verifyResults())).map(({ key, state }) => [key, state]);
  expect(await verified()).toEqual(['empty', 'large', 'small'].map((key) => [key, VerifyState.OK]));
  const good = await run(['verify', '--server', daemon.address]);
  expect(good).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^3 copies checked, \d+ bytes of rows; 0 corrupt, 0 missing, 0 repaired\n$/,
    ) as string,
  });

  await flipBit(join(daemon.folder, 'data', 'segments'));
  expect(await verified()).toEqual([
    ['empty', VerifyState.OK],
    ['large', VerifyState.CORRUPT],
    ['small', VerifyState.OK],
  ]);
  const [, large] = await all(client.verifyResults());
  expect(large?.message).toMatch(/checksum/);
  // Without a second store nothing is repaired.
  for (const flags of [[], ['--repair']])
    expect(await run(['verify', 'l', ...flags, '--server', daemon.address])).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /^large: primary, revision 1, corrupt: .*\n1 copy checked.* 1 corrupt, 0 missing, 0 repaired\n$/,
      ) as string,
    });
});

test('a store that is not there, or holds no copies of its own, is refused', async () => {
  await using daemon = await TestDaemon.start();
  await using client = createClient({ address: daemon.address });
  const verifying = (from: StoreRole) => all(client.verifyResults({ from }));
  await expect(verifying('secondary')).rejects.toMatchObject({ reason: 'NO_SECONDARY' });
  await expect(verifying('cache')).rejects.toMatchObject({ reason: 'REQUEST_INVALID' });
  expect(await run(['verify', '--backend', 'cache', '--server', daemon.address])).toMatchObject({ code: 2 });
  expect(await run(['verify', '--backend', 'secondary', '--server', daemon.address])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/no secondary store/) as string,
  });
});

describe('with a secondary', { timeout: 60_000 }, () => {
  test('what is corrupt or missing is told of each copy and healed, over the wire and by the command', async () => {
    await using folder = await Folder.make();
    await using daemon = await TestDaemon.startWith(bothIn(folder));
    await using client = createClient({ address: daemon.address });
    await save(client, 'large', 20_000);
    await save(client, 'small', 3);
    const verify = (...flags: string[]) => run(['verify', ...flags, '--server', daemon.address]);
    await flipBit(segmentsOf(folder, 'primary'));
    const told = (await all(client.verifyResults())).map(({ key, backend, state }) => [key, backend, state]);
    expect(told).toEqual([
      ['large', Backend.PRIMARY, VerifyState.CORRUPT],
      ['large', Backend.SECONDARY, VerifyState.OK],
      ['small', Backend.PRIMARY, VerifyState.OK],
      ['small', Backend.SECONDARY, VerifyState.OK],
    ]);
    expect(await verify()).toMatchObject({ code: 1 });
    expect(await verify('--backend', 'secondary')).toMatchObject({ code: 0 });
    const [healed] = await all(client.verifyResults({ repair: true, prefix: 'large' }));
    expect(healed).toMatchObject({ state: VerifyState.REPAIRED, backend: Backend.PRIMARY, revision: 1n });
    expect(await verify()).toMatchObject({ code: 0 });

    await flipBit(segmentsOf(folder, 'secondary'));
    const { code, stdout } = await verify('--repair', '--json');
    expect(code).toBe(0);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    expect(lines.map(({ key, backend, state }) => `${key} ${backend} ${state}`)).toEqual([
      'large BACKEND_PRIMARY VERIFY_STATE_OK',
      'large BACKEND_SECONDARY VERIFY_STATE_REPAIRED',
      'small BACKEND_PRIMARY VERIFY_STATE_OK',
      'small BACKEND_SECONDARY VERIFY_STATE_OK',
    ]);
    expect(lines.at(-1)).toMatchObject({ checkedCount: '4', totalCount: '4' });
  });

  test('a primary that was lost is filled again, and is right by itself', async () => {
    await using folder = await Folder.make();
    const settings = bothIn(folder);
    {
      await using daemon = await TestDaemon.startWith(settings);
      await using client = createClient({ address: daemon.address });
      await save(client, 'large', 20_000);
      await save(client, 'small', 3);
    }
    await rm(folder.at('primary'), { recursive: true });
    {
      await using daemon = await TestDaemon.startWith(settings);
      const { code, stdout } = await run(['verify', '--repair', '--server', daemon.address]);
      expect(code).toBe(0);
      expect(stdout).toMatch(
        /^large: primary, revision 1, repaired: Was missing: .*\nsmall: primary, .*\n4 copies.* 2 repaired\n$/,
      );
    }
    await using alone = await TestDaemon.startWith({ primary: settings.primary });
    await using client = createClient({ address: alone.address });
    const { columns } = await client.load('large').toColumns();
    expect(columns['x']?.values).toEqual(Float64Array.from({ length: 20_000 }, (_, i) => i));
  });

  test('the daemon finds and heals damage by itself, logs it, counts it and stops in the middle of it', async () => {
    await using folder = await Folder.make();
    await using daemon = await TestDaemon.startWith({ ...bothIn(folder), scrub_interval: '200ms' });
    await using client = createClient({ address: daemon.address });
    await save(client, 'large', 20_000);
    await flipBit(segmentsOf(folder, 'primary'));
    const { scrub } = await until(
      () => client.getStatus(),
      (status) =>
        status.scrub !== undefined && status.scrub.repairedCount > 0n && status.scrub.lastEndTime !== undefined,
    );
    expect(scrub).toMatchObject({ corruptCount: 1n, repairedCount: 1n, lastFailure: '' });
    // The log is written a moment behind what it tells of.
    const warning = await until(() => daemon.process.log.find((line) => line.includes('a copy does not check')));
    expect(JSON.parse(warning ?? '{}')).toMatchObject({
      ...{ level: 40, key: 'large', role: 'primary', state: 'repaired' },
      fault: expect.stringMatching(/checksum/) as string,
    });
    const status = await run(['status', '--server', daemon.address]);
    expect(status.stdout).toMatch(
      /^scrub: last complete 20.*, \d+ cop(y|ies) checked, 1 corrupt or missing, 1 repaired$/m,
    );
    expect(await run(['verify', '--server', daemon.address])).toMatchObject({ code: 0 });
    expect(await daemon.process.stop('SIGTERM')).toBe(0);
  });

  test('a scrub that is slow or off does not keep the daemon from its end', async () => {
    await using folder = await Folder.make();
    for (const scrub of [{ scrub_interval: '1ms', scrub_mb_per_second: 0.001 }, { scrub_interval: 'off' }]) {
      await using daemon = await TestDaemon.startWith({ ...bothIn(folder), ...scrub });
      await using client = createClient({ address: daemon.address });
      await save(client, 'large', 20_000);
      const status = await client.getStatus();
      expect(status.scrub === undefined).toBe(scrub.scrub_interval === 'off');
      expect(await daemon.process.stop('SIGTERM')).toBe(0);
    }
  });
});
