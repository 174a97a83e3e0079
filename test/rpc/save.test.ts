import { describe, expect, test } from 'vitest';
import { PROBLEM, RawSave, rowsFrom, sharedDaemon } from './wire.js';

const { daemon, client } = await sharedDaemon();

let count = 0;
const fresh = (name: string) => `${name}-${count++}`;

async function opened(uploadId: string, key = `runs/${uploadId}`): Promise<RawSave> {
  const save = new RawSave(daemon.address);
  await save.send({ case: 'open', value: { key, uploadId, problem: PROBLEM } }).answer('opened');
  return save;
}

async function loadX(key: string): Promise<number[]> {
  const { columns } = await client.load(key, { columns: ['x'] }).toColumns();
  return [...(columns['x']?.values as Float64Array)];
}

const upTo = (rows: number) => Array.from({ length: rows }, (_, i) => i);

describe('SaveResult', () => {
  test('acks rows on flush, commits, and loads them back', async () => {
    const id = fresh('plain');
    const save = await opened(id);
    save.send({ case: 'batch', value: rowsFrom(0, 10) }).send({ case: 'flush', value: {} });
    expect((await save.answer('ack')).durableRowCount).toBe(10n);
    save.send({ case: 'commit', value: { rowCount: 10n } });
    expect((await save.answer('committed')).result).toMatchObject({ key: `runs/${id}`, revision: 1n, rowCount: 10n });
    save.end();
    expect(await loadX(`runs/${id}`)).toEqual(upTo(10));
  });

  test('acks rows that nobody asked it to flush', async () => {
    const save = await opened(fresh('unflushed'));
    save.send({ case: 'batch', value: rowsFrom(0, 3) });
    expect((await save.answer('ack')).durableRowCount).toBe(3n);
    save.cancel();
  });

  test('skips rows that it has, whole batches and parts', async () => {
    const id = fresh('resend');
    const save = await opened(id);
    for (const [first, rows] of [
      [0, 5],
      [0, 5],
      [3, 6],
      [2, 2],
    ] as const)
      save.send({ case: 'batch', value: rowsFrom(first, rows) });
    save.send({ case: 'commit', value: { rowCount: 9n } });
    await save.answer('committed');
    save.end();
    expect(await loadX(`runs/${id}`)).toEqual(upTo(9));
  });

  test('a stream that ends without a commit leaves an upload that can be resumed', async () => {
    const id = fresh('resumed');
    const first = await opened(id);
    first.send({ case: 'batch', value: rowsFrom(0, 4) }).send({ case: 'flush', value: {} });
    await first.answer('ack');
    first.cancel();
    const second = new RawSave(daemon.address);
    second.send({ case: 'open', value: { key: `runs/${id}`, uploadId: id } });
    expect((await second.answer('opened')).nextRow).toBe(4n);
    second.send({ case: 'batch', value: rowsFrom(4, 2) }).send({ case: 'commit', value: { rowCount: 6n } });
    await second.answer('committed');
    second.end();
    expect(await loadX(`runs/${id}`)).toEqual(upTo(6));
  });

  test('a commit repeated after a lost answer gives the same result, and no more rows are taken', async () => {
    const id = fresh('again');
    const save = await opened(id);
    save.send({ case: 'batch', value: rowsFrom(0, 2) }).send({ case: 'commit', value: { rowCount: 2n } });
    const { result } = await save.answer('committed');
    const again = new RawSave(daemon.address);
    again.send({ case: 'open', value: { key: `runs/${id}`, uploadId: id, problem: PROBLEM } });
    expect(await again.answer('opened')).toMatchObject({ nextRow: 2n, committed: { revision: 1n } });
    again.send({ case: 'commit', value: { rowCount: 2n } });
    expect((await again.answer('committed')).result).toEqual(result);
    const more = new RawSave(daemon.address);
    more.send({ case: 'open', value: { key: `runs/${id}`, uploadId: id, problem: PROBLEM } });
    expect((await more.send({ case: 'batch', value: rowsFrom(2, 1) }).error()).reason).toBe('UPLOAD_COMMITTED');
  });

  test('a second stream takes the upload over, and the first ends with UPLOAD_TAKEN_OVER', async () => {
    const id = fresh('taken');
    const first = await opened(id);
    first.send({ case: 'batch', value: rowsFrom(0, 5) }).send({ case: 'flush', value: {} });
    await first.answer('ack');
    const second = new RawSave(daemon.address);
    second.send({ case: 'open', value: { key: `runs/${id}`, uploadId: id, problem: PROBLEM } });
    expect((await second.answer('opened')).nextRow).toBe(5n);
    expect(await first.error()).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER', code: 10 });
    second.cancel();
  });

  test('commits to one key raise its revision, deletions included', async () => {
    const key = `runs/${fresh('revisions')}`;
    const revisions = [];
    for (let i = 0; i < 3; i++) {
      const save = await opened(fresh('revision'), key);
      save.send({ case: 'commit', value: { rowCount: 0n } });
      revisions.push((await save.answer('committed')).result?.revision);
      if (i === 1) revisions.push(await client.deleteResult(key));
    }
    expect(revisions).toEqual([1n, 2n, 3n, 4n]);
  });

  test('an aborted upload ends its stream and is not found again', async () => {
    const id = fresh('aborted');
    const save = await opened(id);
    save.send({ case: 'batch', value: rowsFrom(0, 5) }).send({ case: 'flush', value: {} });
    await save.answer('ack');
    await client.abortUpload(id);
    expect(await save.error()).toMatchObject({ reason: 'UPLOAD_ABORTED', code: 5 });
    await expect(client.save(`runs/${id}`, PROBLEM, { uploadId: id })).rejects.toMatchObject({
      reason: 'UPLOAD_ABORTED',
    });
  });
});

describe('what SaveResult refuses', () => {
  const open = { key: 'bad/x', problem: PROBLEM };
  const x = rowsFrom(0, 2).columns[0];
  const label = rowsFrom(0, 2).columns[1];

  test.each([
    ['an empty key', { ...open, key: '' }, 'KEY_INVALID', 3],
    ['a key that climbs', { ...open, key: 'a/../b' }, 'KEY_INVALID', 3],
    ['a key with a control character', { ...open, key: 'a\nb' }, 'KEY_INVALID', 3],
    ['a key of 513 bytes', { ...open, key: 'ä'.repeat(257) }, 'KEY_INVALID', 3],
    ['an upload id with a slash', { ...open, uploadId: 'a/b' }, 'REQUEST_INVALID', 3],
    [
      'a variable without a name',
      { ...open, problem: { variables: [{ role: 1, valueType: 1 }] } },
      'PROBLEM_INVALID',
      3,
    ],
    ['a variable without a type', { ...open, problem: { variables: [{ name: 'x', role: 1 }] } }, 'PROBLEM_INVALID', 3],
    [
      'duplicate names',
      {
        ...open,
        problem: {
          variables: [
            { name: 'x', role: 1, valueType: 1 },
            { name: 'x', role: 1, valueType: 1 },
          ],
        },
      },
      'PROBLEM_INVALID',
      3,
    ],
    [
      'an objective without a direction',
      { ...open, problem: { variables: [{ name: 'x', role: 2, valueType: 1 }] } },
      'PROBLEM_INVALID',
      3,
    ],
    ['a new upload without a problem', { key: 'bad/x', uploadId: 'never-seen' }, 'UPLOAD_NOT_FOUND', 5],
    ['a revision that is not there', { ...open, expectedRevision: 7n }, 'REVISION_MISMATCH', 10],
    [
      'too many columns',
      {
        ...open,
        problem: { variables: Array.from({ length: 16_385 }, (_, i) => ({ name: `v${i}`, role: 1, valueType: 1 })) },
      },
      'TOO_MANY_COLUMNS',
      8,
    ],
  ])('%s', async (_, value, reason, code) => {
    const save = new RawSave(daemon.address);
    expect(await save.send({ case: 'open', value }).error()).toMatchObject({ reason, code });
  });

  test.each([
    ['too few columns', { columns: [x] }, 'BATCH_MISMATCH', 3],
    ['a column of another type', { columns: [label, label] }, 'BATCH_MISMATCH', 3],
    ['a column of another length', { rowCount: 3 }, 'BATCH_MISMATCH', 3],
    ['no rows', { rowCount: 0 }, 'BATCH_MISMATCH', 3],
    ['a wrong checksum', { crc32: 1 }, 'CHECKSUM_MISMATCH', 3],
    ['a gap', { firstRow: 1n }, 'ROW_GAP', 11],
    [
      'text that is not UTF-8',
      {
        columns: [
          x,
          {
            values: {
              case: 'stringValues',
              value: { offsets: new Uint8Array(Uint32Array.of(0, 1, 2).buffer), utf8: Uint8Array.of(0xff, 0xff) },
            },
          },
        ],
      },
      'BATCH_MISMATCH',
      3,
    ],
    [
      'offsets out of order',
      {
        columns: [
          x,
          {
            values: {
              case: 'stringValues',
              value: { offsets: new Uint8Array(Uint32Array.of(0, 2, 1).buffer), utf8: Uint8Array.of(97, 97) },
            },
          },
        ],
      },
      'BATCH_MISMATCH',
      3,
    ],
    [
      'a message over the limit',
      { columns: [{ values: { case: 'float64Values', value: new Uint8Array(5 << 20) } }, label] },
      'MESSAGE_TOO_LARGE',
      8,
    ],
  ] as const)('%s, and nothing of it is stored', async (_, wrong, reason, code) => {
    const id = fresh('refused');
    const save = await opened(id);
    save.send({ case: 'batch', value: { ...rowsFrom(0, 2), ...wrong } as never });
    expect(await save.error()).toMatchObject({ reason, code });
    const writer = await client.save(`runs/${id}`, PROBLEM, { uploadId: id });
    expect(writer.nextRow).toBe(0);
    await writer.close();
  });

  test('another key or problem for an upload that exists', async () => {
    const id = fresh('conflict');
    const save = await opened(id);
    save.send({ case: 'batch', value: rowsFrom(0, 1) }).send({ case: 'flush', value: {} });
    await save.answer('ack');
    await expect(client.save('runs/other', PROBLEM, { uploadId: id })).rejects.toMatchObject({
      reason: 'UPLOAD_CONFLICT',
      code: 9,
    });
    const renamed = { variables: PROBLEM.variables.map((variable) => ({ ...variable, name: `${variable.name}2` })) };
    await expect(client.save(`runs/${id}`, renamed, { uploadId: id })).rejects.toMatchObject({
      reason: 'UPLOAD_CONFLICT',
    });
    save.cancel();
  });

  test('a commit with another row count, and the upload stays open', async () => {
    const id = fresh('count');
    const save = await opened(id);
    save.send({ case: 'batch', value: rowsFrom(0, 2) }).send({ case: 'commit', value: { rowCount: 3n } });
    expect(await save.error()).toMatchObject({ reason: 'ROW_COUNT_MISMATCH', code: 9, metadata: { next_row: '2' } });
    const writer = await client.save(`runs/${id}`, PROBLEM, { uploadId: id });
    expect(writer.nextRow).toBe(2);
    expect((await writer.commit()).rowCount).toBe(2n);
  });

  test('a commit where someone else has changed the key', async () => {
    const key = `runs/${fresh('raced')}`;
    const slow = await client.save(key, PROBLEM, { expectedRevision: 0n });
    const quick = await client.save(key, PROBLEM, { expectedRevision: 0n });
    await quick.commit();
    await expect(slow.commit()).rejects.toMatchObject({
      reason: 'REVISION_MISMATCH',
      code: 10,
      metadata: { revision: '1' },
    });
  });

  test.each([
    ['a batch first', [{ case: 'batch' as const, value: rowsFrom(0, 1) }]],
    [
      'a second open',
      [
        { case: 'open' as const, value: open },
        { case: 'open' as const, value: open },
      ],
    ],
    ['an empty message', [{ case: 'open' as const, value: open }, { case: undefined }]],
  ])('%s', async (_, messages) => {
    const save = new RawSave(daemon.address);
    for (const message of messages) save.send(message);
    expect(await save.error()).toMatchObject({ reason: 'PROTOCOL_VIOLATION', code: 9 });
  });
});

test('after all that the daemon is up, and lists no half-written result', async () => {
  const keys = [];
  for await (const result of client.listResults({ prefix: 'bad/' })) keys.push(result.key);
  expect(keys).toEqual([]);
  expect((await client.getStatus()).backends[0]?.state).toBe(1);
});
