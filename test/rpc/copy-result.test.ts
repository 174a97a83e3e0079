import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { Outcome } from '../../clients/typescript/index.js';
import { CopyResultRequestSchema, type CopyResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { MIXED, mixedRun } from './sample-runs.js';
import { rawLoad, saveRun } from './raw-load.js';
import { PROBLEM, sharedDaemon } from './wire.js';

const { daemon, client, channel } = await sharedDaemon();

async function sample(key: string) {
  const options = { tags: { study: 'beam' }, attributes: { seed: 7 }, description: 'a run' };
  const writer = await client.save(key, PROBLEM, options);
  await writer.append({ x: [1, 2, 3], label: ['a', null, ''] });
  return writer.commit({ outcome: Outcome.STOPPED, resultSets: [{ name: 'best', rows: [0, 2], createdBy: 'ada' }] });
}

describe('CopyResult', () => {
  test('copies rows, problem, tags, attributes, description, outcome and result sets', async () => {
    const source = await sample('copy/a');
    const copy = await client.copyResult('copy/a', 'copy/b');
    const { tags, attributes, description, outcome, problem, resultSets, columns, rowCount } = source;
    expect(copy).toMatchObject({ key: 'copy/b', revision: 1n, tags, attributes, description, outcome, rowCount });
    expect(copy.problem).toEqual(problem);
    expect(copy.resultSets).toEqual(resultSets);
    expect(copy.columns).toEqual(columns);
    const loaded = await client.load('copy/b').toColumns();
    expect(loaded.columns).toEqual((await client.load('copy/a').toColumns()).columns);
    // A copy is a result of its own.
    await client.deleteResult('copy/a');
    expect((await client.load('copy/b', { resultSet: 'best' }).toColumns()).rowNumbers).toEqual(Float64Array.of(0, 2));
  });

  test('copies rows of every type bit for bit, and tells how far it is', async () => {
    const run = mixedRun(2000);
    await saveRun(daemon.address, 'copy/mixed', MIXED, run, 300);
    const answers: CopyResultResponse[] = [];
    const request = create(CopyResultRequestSchema, { key: 'copy/mixed', toKey: 'copy/mixed-2' });
    for await (const answer of channel.stream('copyResult', request)) answers.push(answer);
    expect(answers.at(-1)).toMatchObject({ copiedRowCount: 2000n, rowCount: 2000n, result: { key: 'copy/mixed-2' } });
    for (const { result } of answers.slice(0, -1)) expect(result).toBeUndefined();
    expect((await rawLoad(channel, { key: 'copy/mixed-2' })).rows()).toEqual(
      (await rawLoad(channel, { key: 'copy/mixed' })).rows(),
    );
  });

  test('copies an empty result and an older revision', async () => {
    await (await client.save('copy/old', PROBLEM)).commit();
    await sample('copy/old');
    const copy = await client.copyResult('copy/old', 'copy/older', { revision: 1n });
    expect(copy).toMatchObject({ rowCount: 0n, resultSets: [] });
    await expect(client.copyResult('copy/old', 'copy/never', { revision: 9n })).rejects.toMatchObject({
      reason: 'REVISION_NOT_FOUND',
    });
  });

  test('replaces nothing that it was not told to replace, and leaves no upload behind', async () => {
    await sample('copy/one');
    await sample('copy/two');
    const mismatch = { reason: 'REVISION_MISMATCH' };
    await expect(client.copyResult('copy/one', 'copy/two')).rejects.toMatchObject(mismatch);
    await expect(client.copyResult('copy/one', 'copy/two', { expectedRevision: 7n })).rejects.toMatchObject(mismatch);
    expect(await client.copyResult('copy/one', 'copy/two', { expectedRevision: 1n })).toMatchObject({ revision: 2n });
    const uploads = [];
    for await (const upload of client.listUploads()) uploads.push(upload);
    expect(uploads).toEqual([]);
  });

  test('moves a result: the old key is gone, the new one whole', async () => {
    await sample('move/a');
    const before = await client.load('move/a').toColumns();
    const moved = await client.moveResult('move/a', 'move/b');
    expect(moved).toMatchObject({ key: 'move/b', rowCount: 3n, resultSets: [{ name: 'best' }] });
    await expect(client.getResult('move/a')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    expect((await client.load('move/b').toColumns()).columns).toEqual(before.columns);
  });

  test('does not move an older revision', async () => {
    await sample('move/old');
    await sample('move/old');
    const request = { key: 'move/old', toKey: 'move/older', revision: 1n, removeSource: true };
    const answers = channel.stream('copyResult', create(CopyResultRequestSchema, request));
    await expect(answers.next()).rejects.toMatchObject({ reason: 'REVISION_MISMATCH' });
    await expect(client.getResult('move/older')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  });

  test.each([
    [{ key: 'copy/none', toKey: 'copy/x' }, 'RESULT_NOT_FOUND'],
    [{ key: 'copy/x', toKey: 'copy/x' }, 'REQUEST_INVALID'],
    [{ key: 'copy/x', toKey: '' }, 'KEY_INVALID'],
    [{ key: '', toKey: 'copy/x' }, 'KEY_INVALID'],
  ])('refuses %j', async (request, reason) => {
    const answers = channel.stream('copyResult', create(CopyResultRequestSchema, request));
    await expect(answers.next()).rejects.toMatchObject({ reason });
  });
});
