import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { VerifyState } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { all } from '../backends/runs.js';
import { run } from '../cli/cli.js';
import { flipBit } from '../manager/three-stores.js';
import { PROBLEM, TestDaemon } from './wire.js';

test('verify reads every byte past the cache, and tells which result does not check', async () => {
  await using daemon = await TestDaemon.start();
  await using client = createClient({ address: daemon.address });
  const rowCount = 20_000;
  for (const [key, count] of [
    ['empty', 0],
    ['large', rowCount],
    ['small', 3],
  ] as const) {
    const writer = await client.save(key, PROBLEM);
    const rows = Array.from({ length: count }, (_, i) => i);
    if (count > 0) await writer.append({ x: rows, label: rows.map((row) => (row % 7 === 0 ? null : `row ${row}`)) });
    await writer.commit();
  }
  // Now in the cache, and still right there.
  await all(client.load('large'));
  const verified = async () => (await all(client.verifyResults())).map(({ key, state }) => [key, state]);
  expect(await verified()).toEqual(['empty', 'large', 'small'].map((key) => [key, VerifyState.OK]));
  const good = await run(['verify', '--server', daemon.address]);
  expect(good).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^3 results checked, \d+ bytes of rows; 0 corrupt\n$/) as string,
  });

  await flipBit(join(daemon.folder, 'data', 'segments'));
  expect(await verified()).toEqual([
    ['empty', VerifyState.OK],
    ['large', VerifyState.CORRUPT],
    ['small', VerifyState.OK],
  ]);
  const [, large] = await all(client.verifyResults());
  expect(large?.message).toMatch(/checksum/);
  const bad = await run(['verify', 'l', '--server', daemon.address]);
  expect(bad).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^large: revision 1: .*\n1 results checked.* 1 corrupt\n$/) as string,
  });
});
