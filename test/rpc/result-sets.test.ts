import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { ResultView, SetOperation, ValueType, VariableRole } from '../../clients/typescript/index.js';
import {
  DeleteResultSetRequestSchema,
  GetResultRequestSchema,
  PutResultSetRequestSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { rowNumbersOf } from '../../server/rows/row-numbers/given-rows.js';
import { numbersFromBytes } from '../../server/rows/row-numbers/number-bytes.js';
import { floatRun, floats, MIXED, mixedRun } from './sample-runs.js';
import { checksumOf, RawLoad, rawLoad, saveRun } from './raw-load.js';
import { RawSave, rowsFrom, PROBLEM, sharedDaemon } from './wire.js';

const { daemon, client, channel } = await sharedDaemon();

/** Positions of the doubles of `floats`: the value of c0 is the row's number. */
async function loadSet(key: string, resultSet: string, rows?: readonly [number, number?]) {
  const { columns, rowNumbers } = await client
    .load(key, { resultSet, columns: ['c0'], ...(rows && { rows }) })
    .toColumns();
  return { c0: [...(columns['c0']?.values as Float64Array)], rowNumbers: [...(rowNumbers ?? [])] };
}

describe('a result set', () => {
  test('is made of rows, and of other sets by union, intersection and difference, and tells its lineage', async () => {
    await saveRun(daemon.address, 'sets/lineage', floats(2), floatRun(2, 100));
    const before = Date.now() - 1000;
    await client.putResultSet('sets/lineage', 'front', { rows: [1, [10, 20], 50] }, { createdBy: 'ada' });
    await client.putResultSet('sets/lineage', 'late', { rows: [[15, 100]] }, { description: 'the second half' });
    const both = { operation: SetOperation.INTERSECTION, parents: ['front', 'late'] } as const;
    await client.putResultSet('sets/lineage', 'both', both);
    const any = { operation: SetOperation.UNION, parents: ['front', 'late', 'both'] } as const;
    await client.putResultSet('sets/lineage', 'any', any);
    const only = { operation: SetOperation.DIFFERENCE, parents: ['front', 'late'] } as const;
    const result = await client.putResultSet('sets/lineage', 'only', only);
    expect(result.revision).toBe(6n);
    expect(result.resultSets.map(({ name, rowCount }) => [name, Number(rowCount)])).toEqual([
      ['any', 91],
      ['both', 6],
      ['front', 12],
      ['late', 85],
      ['only', 6],
    ]);
    const [, made, front] = result.resultSets;
    expect(made).toMatchObject({ operation: SetOperation.INTERSECTION, parents: ['front', 'late'] });
    expect(front).toMatchObject({ operation: SetOperation.UNSPECIFIED, parents: [], createdBy: 'ada' });
    expect(Number(front?.createTime?.seconds) * 1000).toBeGreaterThan(before - 1000);
    const wanted = [15, 16, 17, 18, 19, 50];
    expect(await loadSet('sets/lineage', 'both')).toEqual({ c0: wanted, rowNumbers: wanted });
    const rest = [1, 10, 11, 12, 13, 14];
    expect(await loadSet('sets/lineage', 'only')).toEqual({ c0: rest, rowNumbers: rest });
  });

  test('survives a restart of the daemon, a change of its parents and their deletion', async () => {
    await saveRun(daemon.address, 'sets/kept', floats(1), floatRun(1, 50));
    await client.putResultSet('sets/kept', 'a', { rows: [1, 2, 3] });
    await client.putResultSet('sets/kept', 'b', { rows: [3, 4] });
    await client.putResultSet('sets/kept', 'u', { operation: SetOperation.UNION, parents: ['a', 'b'] });
    await client.putResultSet('sets/kept', 'a', { rows: [40] });
    await client.deleteResultSet('sets/kept', 'b');
    await daemon.process.stop('SIGKILL');
    await daemon.restart();
    expect(await loadSet('sets/kept', 'u')).toEqual({ c0: [1, 2, 3, 4], rowNumbers: [1, 2, 3, 4] });
    expect((await loadSet('sets/kept', 'a')).c0).toEqual([40]);
    expect((await client.getResult('sets/kept')).resultSets.map(({ name }) => name)).toEqual(['a', 'u']);
  });

  test('comes with a commit, and stays when rows are appended or metadata changes', async () => {
    const writer = await client.save('sets/commit', PROBLEM);
    await writer.append({ x: [1, 2, 3], label: ['a', 'b', 'c'] });
    const result = await writer.commit({ resultSets: [{ name: 'best', rows: [1], createdBy: 'nsga2' }] });
    expect(result.resultSets).toMatchObject([{ name: 'best', rowCount: 1n, createdBy: 'nsga2' }]);
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: 'sets/commit', append: true } });
    save.send({ case: 'batch', value: rowsFrom(3, 2) });
    const resultSets = [{ name: 'new', rows: rowNumbersOf([0, 4]) }];
    save.send({ case: 'commit', value: { rowCount: 5n, resultSets } });
    const { result: appended } = await save.answer('committed');
    expect(appended?.resultSets.map(({ name }) => name)).toEqual(['best', 'new']);
    const { columns } = await client.load('sets/commit', { resultSet: 'new' }).toColumns();
    expect(columns['x']?.values).toEqual(Float64Array.from([1, 4]));
  });

  test('that is wrong keeps a commit from happening; put right, the upload is committed', async () => {
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: 'sets/wrong', uploadId: 'sets-wrong', problem: PROBLEM } });
    save.send({ case: 'batch', value: rowsFrom(0, 3) });
    save.send({ case: 'commit', value: { rowCount: 3n, resultSets: [{ name: 's', rows: rowNumbersOf([3]) }] } });
    const error = await save.error();
    expect(error).toMatchObject({ reason: 'RESULT_SET_INVALID' });
    expect(error.message).toMatch(/row 3 is beyond the result's 3 rows/);
    const writer = await client.save('sets/wrong', PROBLEM, { uploadId: 'sets-wrong' });
    expect(writer.nextRow).toBe(3);
    await writer.commit({ resultSets: [{ name: 's', rows: [2] }] });
    expect((await client.getResult('sets/wrong')).resultSets).toMatchObject([{ name: 's', rowCount: 1n }]);
  });

  test('is shown with its rows in the full view, without them in others and when there are many', async () => {
    await saveRun(daemon.address, 'sets/view', floats(1), floatRun(1, 100));
    const put = create(PutResultSetRequestSchema, { key: 'sets/view', name: 's', rows: rowNumbersOf([7, 9]) });
    const { result, resultSet } = await channel.unary('putResultSet', put);
    expect(resultSet).toMatchObject({ name: 's', rowCount: 2n });
    expect(resultSet?.rows).toBeUndefined();
    expect(result?.resultSets[0]?.rows).toBeUndefined();
    const get = (view: ResultView) =>
      channel.unary('getResult', create(GetResultRequestSchema, { key: 'sets/view', view }));
    expect((await get(ResultView.FULL)).result?.resultSets[0]?.rows?.form.value).toEqual(Buffer.of(0x80, 0x02));
    expect((await get(ResultView.BASIC)).result?.resultSets[0]?.rows).toBeUndefined();
  });
});

describe('a result set is refused', () => {
  const put = (request: object) =>
    channel.unary('putResultSet', create(PutResultSetRequestSchema, { key: 'sets/refused', name: 's', ...request }));

  test('with the reason', async () => {
    await saveRun(daemon.address, 'sets/refused', floats(1), floatRun(1, 10));
    await put({ name: 'a', rows: rowNumbersOf([1]) });
    const { revision } = await client.getResult('sets/refused');
    const wrong: [object, string][] = [
      [{ rows: rowNumbersOf([10]) }, 'RESULT_SET_INVALID'],
      [{ rows: { form: { case: 'list', value: new Uint8Array(7) } } }, 'RESULT_SET_INVALID'],
      [{ name: '', rows: rowNumbersOf([1]) }, 'RESULT_SET_INVALID'],
      [{ name: 'a\nb', rows: rowNumbersOf([1]) }, 'RESULT_SET_INVALID'],
      [{ name: 'n'.repeat(129), rows: rowNumbersOf([1]) }, 'RESULT_SET_INVALID'],
      [{ description: 'd'.repeat(4097) }, 'RESULT_SET_INVALID'],
      [{ createdBy: 'c'.repeat(1025) }, 'RESULT_SET_INVALID'],
      [{ parents: ['a', 'b'] }, 'RESULT_SET_INVALID'],
      [{ operation: SetOperation.UNION, parents: ['a'] }, 'RESULT_SET_INVALID'],
      [{ operation: SetOperation.UNION, parents: ['a', 'a'] }, 'RESULT_SET_INVALID'],
      [{ operation: SetOperation.UNION, parents: ['a', 'b'], rows: rowNumbersOf([1]) }, 'RESULT_SET_INVALID'],
      [{ operation: 9, parents: ['a', 'b'] }, 'RESULT_SET_INVALID'],
      [{ operation: SetOperation.UNION, parents: ['a', 'b'] }, 'RESULT_SET_NOT_FOUND'],
      [{ key: 'sets/none' }, 'RESULT_NOT_FOUND'],
      [{ key: 'a//b' }, 'KEY_INVALID'],
      [{ expectedRevision: 1n }, 'REVISION_MISMATCH'],
    ];
    for (const [request, reason] of wrong)
      await expect(put(request), JSON.stringify(reason)).rejects.toMatchObject({ reason });
    expect((await client.getResult('sets/refused')).revision).toBe(revision);
  });

  test('when a result has a thousand', async () => {
    const save = new RawSave(daemon.address);
    const resultSets = Array.from({ length: 1000 }, (_, i) => ({ name: `set-${i}`, rows: rowNumbersOf([0]) }));
    save.send({ case: 'open', value: { key: 'sets/many', problem: PROBLEM } });
    save.send({ case: 'batch', value: rowsFrom(0, 1) });
    save.send({ case: 'commit', value: { rowCount: 1n, resultSets } });
    await save.answer('committed');
    await expect(put({ key: 'sets/many', name: 'more' })).rejects.toMatchObject({ reason: 'TOO_MANY_RESULT_SETS' });
    const appended = new RawSave(daemon.address);
    appended.send({ case: 'open', value: { key: 'sets/many', append: true } });
    appended.send({ case: 'commit', value: { rowCount: 1n, resultSets: [{ name: 'more' }] } });
    expect(await appended.error()).toMatchObject({ reason: 'TOO_MANY_RESULT_SETS' });
    await put({ key: 'sets/many', name: 'set-7', rows: rowNumbersOf([]) });
  });

  test('to be loaded or deleted where it is not', async () => {
    await saveRun(daemon.address, 'sets/absent', floats(1), floatRun(1, 3));
    const load = await new RawLoad(channel, { key: 'sets/absent', resultSet: 'no' }).error();
    expect(load).toMatchObject({ reason: 'RESULT_SET_NOT_FOUND' });
    const request = create(DeleteResultSetRequestSchema, { key: 'sets/absent', name: 'no' });
    await expect(channel.unary('deleteResultSet', request)).rejects.toMatchObject({ reason: 'RESULT_SET_NOT_FOUND' });
  });
});

describe('a load of a result set', () => {
  test('gives chosen rows of every type as they were saved, with their numbers and a checksum', async () => {
    const run = mixedRun(1000);
    await saveRun(daemon.address, 'sets/mixed', MIXED, run, 130);
    const picked = Array.from({ length: 1000 }, (_, i) => i).filter((i) => i % 7 < 2 || i > 900);
    await client.putResultSet('sets/mixed', 's', { rows: picked });
    const whole = (await rawLoad(channel, { key: 'sets/mixed' })).rows();
    const load = await rawLoad(channel, { key: 'sets/mixed', resultSet: 's' });
    expect(load.header).toMatchObject({ firstRow: 0n, rowCount: BigInt(picked.length) });
    expect(load.trailerRowCount).toBe(BigInt(picked.length));
    expect([...numbersFromBytes(load.batches.map(({ rowNumbers }) => rowNumbers as Uint8Array))]).toEqual(picked);
    for (const batch of load.batches) expect(batch.crc32).toBe(checksumOf(batch));
    const { decodeColumn, valueAt } = await import('../../server/rows/columns.js');
    const rows = load.rows();
    for (const [c, variable] of MIXED.variables.entries()) {
      const all = decodeColumn(variable, whole.columns[c] as never, 1000);
      const some = decodeColumn(variable, rows.columns[c] as never, picked.length);
      expect(picked.map((_, i) => valueAt(some, i))).toEqual(picked.map((row) => valueAt(all, row)));
    }
  });

  test('counts positions in the set, so that a broken one goes on', async () => {
    await saveRun(daemon.address, 'sets/positions', floats(1), floatRun(1, 1000));
    await client.putResultSet('sets/positions', 'odd', { rows: Array.from({ length: 500 }, (_, i) => 2 * i + 1) });
    expect(await loadSet('sets/positions', 'odd', [100, 103])).toEqual({
      c0: [201, 203, 205],
      rowNumbers: [201, 203, 205],
    });
    expect((await loadSet('sets/positions', 'odd', [499])).c0).toEqual([999]);
    expect((await loadSet('sets/positions', 'odd', [500])).c0).toEqual([]);
    const beyond = await new RawLoad(channel, { key: 'sets/positions', resultSet: 'odd', firstRow: 501n }).error();
    expect(beyond).toMatchObject({ reason: 'ROW_RANGE_INVALID' });
    const part = await rawLoad(channel, { key: 'sets/positions', resultSet: 'odd', firstRow: 7n, rowCount: 2n });
    expect(part.batches.map(({ firstRow, rowCount }) => [firstRow, rowCount])).toEqual([[7n, 2]]);
    const empty = await rawLoad(channel, { key: 'sets/positions', resultSet: 'odd', rowCount: 0n });
    expect(empty.cases).toEqual(['header', 'trailer']);
  });

  test('keeps its messages within the limit where rows are small and their numbers are not', async () => {
    const flags = {
      name: 'flags',
      variables: [{ name: 'b', role: VariableRole.OBSERVABLE, valueType: ValueType.BOOL }],
    };
    const writer = await client.save('sets/flags', flags);
    const rowCount = 1_500_000;
    await writer.append({ b: Array.from({ length: rowCount }, (_, i) => i % 3 === 0) });
    await writer.commit({
      resultSets: [
        {
          name: 'most',
          rows: [
            [0, 700_000],
            [700_001, rowCount],
          ],
        },
      ],
    });
    const load = await rawLoad(channel, { key: 'sets/flags', resultSet: 'most', maxBatchBytes: 3 * 1024 * 1024 });
    expect(Math.max(...load.messageBytes)).toBeLessThan(4 * 1024 * 1024);
    expect(load.rows().rowCount).toBe(rowCount - 1);
  });

  test('reads rows that lie far apart in a large result', async () => {
    const rowCount = 400_000;
    const writer = await client.save('sets/far', floats(8));
    for (let from = 0; from < rowCount; from += 50_000) {
      const column = (c: number) => Float64Array.from({ length: 50_000 }, (_, i) => from + i + c / 1000);
      await writer.append(Object.fromEntries(Array.from({ length: 8 }, (_, c) => [`c${c}`, column(c)])));
    }
    const rows = [0, 1, 99_999, 100_000, 250_000, rowCount - 1];
    await writer.commit({ resultSets: [{ name: 'far', rows }] });
    expect(await loadSet('sets/far', 'far')).toEqual({ c0: rows, rowNumbers: rows });
    const { columns } = await client.load('sets/far', { resultSet: 'far', columns: ['c7', 'c1'] }).toColumns();
    expect(columns['c7']?.values).toEqual(Float64Array.from(rows, (row) => row + 7 / 1000));
    expect(Object.keys(columns)).toEqual(['c7', 'c1']);
  });
});
