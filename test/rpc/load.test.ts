import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Channel } from '../../clients/typescript/channel.js';
import { schemaOf, type Batch } from '../../server/rows/batch.js';
import { selectColumns, sliceBatch } from '../../server/rows/slice.js';
import { asText } from '../backends/runs.js';
import { checksumOf, RawLoad, rawLoad, saveRun } from './raw-load.js';
import { floatRun, floats, MIXED, mixedRun } from './sample-runs.js';
import { sharedDaemon, TestDaemon } from './wire.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const ROWS = 1000;
const RUN = mixedRun(ROWS);
const SCHEMA = schemaOf(MIXED.variables);

const { daemon, client, channel } = await sharedDaemon();

beforeAll(async () => {
  await saveRun(daemon.address, 'mixed', MIXED, RUN, 300);
});

describe('a load', () => {
  test('is a header, batches and a trailer, which agree with each other', async () => {
    const load = await rawLoad(channel, { key: 'mixed' });
    const batchCount = load.batches.length;
    expect(load.cases).toEqual(['header', ...Array<string>(batchCount).fill('batch'), 'trailer']);
    expect(load.header).toMatchObject({
      result: { key: 'mixed', revision: 1n, rowCount: BigInt(ROWS), state: 1 },
      firstRow: 0n,
      rowCount: BigInt(ROWS),
      variables: MIXED.variables.map(({ name, valueType }) => ({ name, valueType })),
    });
    expect(load.header?.result?.columns.map((column) => column.name)).toEqual(['f', 'i', 'b', 's']);
    expect(load.trailerRowCount).toBe(BigInt(ROWS));
    let next = 0n;
    for (const batch of load.batches) {
      expect(batch.firstRow).toBe(next);
      next += BigInt(batch.rowCount);
    }
    expect(next).toBe(BigInt(ROWS));
  });

  test('gives every type back bit for bit: NaNs, -0, infinities, missing values, empty and long text', async () => {
    expect(asText((await rawLoad(channel, { key: 'mixed' })).rows())).toEqual(asText(RUN));
  });

  test.each([[['s', 'f']], [['i']], [['b', 's', 'i', 'f']]])('gives columns %j in this order', async (columns) => {
    const load = await rawLoad(channel, { key: 'mixed', columns });
    const indices = columns.map((name) => MIXED.variables.findIndex((variable) => variable.name === name));
    expect(load.header?.variables.map((variable) => variable.name)).toEqual(columns);
    expect(asText(load.rows())).toEqual(asText(selectColumns(RUN, indices)));
  });

  test.each([
    ['some in the middle', 250n, 500n, 250, 500],
    ['those from a row on', 990n, undefined, 990, 10],
    ['those up to a row', undefined, 7n, 0, 7],
    ['more than there are', 995n, 50n, 995, 5],
    ['as many as a number can say', 3n, 2n ** 64n - 1n, 3, 997],
    ['the last one', 999n, 1n, 999, 1],
  ])('of a range of rows: %s', async (_, firstRow, rowCount, from, count) => {
    const range = { ...(firstRow !== undefined && { firstRow }), ...(rowCount !== undefined && { rowCount }) };
    const load = await rawLoad(channel, { key: 'mixed', ...range });
    expect(load.header).toMatchObject({ firstRow: BigInt(from), rowCount: BigInt(count) });
    expect(load.trailerRowCount).toBe(BigInt(count));
    expect(asText(load.rows())).toEqual(asText(sliceBatch(SCHEMA, RUN, from, count)));
  });

  test.each([
    ['0 rows', { rowCount: 0n }, 0n],
    ['0 rows from the middle', { firstRow: 20n, rowCount: 0n }, 20n],
    ['rows from the end on', { firstRow: BigInt(ROWS) }, BigInt(ROWS)],
    ['one row from the end on', { firstRow: BigInt(ROWS), rowCount: 1n }, BigInt(ROWS)],
  ])('of %s is a header and a trailer', async (_, range, firstRow) => {
    const load = await rawLoad(channel, { key: 'mixed', ...range });
    expect(load.cases).toEqual(['header', 'trailer']);
    expect(load.header).toMatchObject({ firstRow, rowCount: 0n, result: { rowCount: BigInt(ROWS) } });
    expect(load.trailerRowCount).toBe(0n);
  });

  test('of a result without rows is a header and a trailer', async () => {
    await saveRun(daemon.address, 'empty', MIXED, { firstRow: 0, rowCount: 0, columns: [] });
    expect((await rawLoad(channel, { key: 'empty' })).cases).toEqual(['header', 'trailer']);
  });

  test.each([
    ['an unknown key', { key: 'nothing-here' }, 'RESULT_NOT_FOUND', 5],
    ['a revision that never was', { key: 'mixed', revision: 9n }, 'REVISION_NOT_FOUND', 5],
    ['revision 0', { key: 'mixed', revision: 0n }, 'REVISION_NOT_FOUND', 5],
    ['a revision beyond all', { key: 'mixed', revision: 2n ** 64n - 1n }, 'REVISION_NOT_FOUND', 5],
    ['a column that it has not', { key: 'mixed', columns: ['f', 'F'] }, 'COLUMN_NOT_FOUND', 5],
    ['a column named twice', { key: 'mixed', columns: ['f', 'i', 'f'] }, 'REQUEST_INVALID', 3],
    ['a first row behind the end', { key: 'mixed', firstRow: BigInt(ROWS + 1) }, 'ROW_RANGE_INVALID', 11],
    ['a first row beyond all', { key: 'mixed', firstRow: 2n ** 64n - 1n }, 'ROW_RANGE_INVALID', 11],
    ['batches that are too small', { key: 'mixed', maxBatchBytes: 64 * KIB - 1 }, 'REQUEST_INVALID', 3],
    ['batches that are too large', { key: 'mixed', maxBatchBytes: 3 * MIB + 1 }, 'REQUEST_INVALID', 3],
    ['a key that is none', { key: '/mixed' }, 'KEY_INVALID', 3],
  ])('is refused for %s, before the header', async (_, request, reason, code) => {
    const load = new RawLoad(channel, request);
    expect(await load.error()).toMatchObject({ reason, code });
    expect(load.cases).toEqual([]);
  });
});

describe('revisions', () => {
  const versions = [1, 2, 3].map((rows) => mixedRun(rows));

  test('the newest loads unless another is asked for, and a superseded one stays loadable', async () => {
    for (const version of versions) await saveRun(daemon.address, 'versions', MIXED, version);
    expect((await rawLoad(channel, { key: 'versions' })).header?.result?.revision).toBe(3n);
    for (const [i, version] of versions.entries()) {
      const load = await rawLoad(channel, { key: 'versions', revision: BigInt(i + 1) });
      expect(load.header?.result).toMatchObject({ revision: BigInt(i + 1), rowCount: BigInt(version.rowCount) });
      expect(asText(load.rows())).toEqual(asText(version));
    }
  });

  test('a deleted one stays loadable by its number, also when the daemon was restarted', async () => {
    await saveRun(daemon.address, 'deleted', MIXED, RUN);
    await client.deleteResult('deleted');
    await daemon.process.stop('SIGTERM');
    await daemon.restart();
    expect(await new RawLoad(channel, { key: 'deleted' }).error()).toMatchObject({ reason: 'RESULT_NOT_FOUND' });
    const load = await rawLoad(channel, { key: 'deleted', revision: 1n });
    expect(asText(load.rows())).toEqual(asText(RUN));
  });
});

describe('batches', () => {
  // 6.4 MB: rows of 320 bytes.
  const COLUMNS = 40;
  const WIDE = floats(COLUMNS);
  const WIDE_RUN = floatRun(COLUMNS, 20_000);
  const TOTAL = COLUMNS * 8 * WIDE_RUN.rowCount;
  // A stored block that is a little too large may be sent in one.
  const SLACK = 1.1;

  beforeAll(async () => {
    await saveRun(daemon.address, 'wide', WIDE, WIDE_RUN, 2000);
  });

  test.each([64 * KIB, 100_000, MIB, 3 * MIB])('of at most %i bytes hold that, and all rows', async (maxBatchBytes) => {
    const load = await rawLoad(channel, { key: 'wide', maxBatchBytes });
    expect(asText(load.rows())).toEqual(asText(WIDE_RUN));
    expect(Math.max(...load.messageBytes)).toBeLessThanOrEqual(maxBatchBytes * SLACK + 64 * COLUMNS);
  });

  test('are of about 1 MiB unless asked', async () => {
    const { messageBytes } = await rawLoad(channel, { key: 'wide' });
    expect(Math.max(...messageBytes)).toBeLessThanOrEqual(MIB * SLACK + 64 * COLUMNS);
    expect(messageBytes.length).toBeLessThanOrEqual((TOTAL / MIB) * 2);
  });

  test('of one column in many are put together, up to what was asked for', async () => {
    const { name = '' } = WIDE.variables[7] ?? {};
    const whole = asText({ ...WIDE_RUN, columns: WIDE_RUN.columns.slice(7, 8) });
    const load = await rawLoad(channel, { key: 'wide', columns: [name] });
    expect(asText(load.rows())).toEqual(whole);
    // 160 KB, which lie in ten blocks.
    expect(load.messageBytes).toHaveLength(1);
    const small = await rawLoad(channel, { key: 'wide', columns: [name], maxBatchBytes: 64 * KIB });
    expect(asText(small.rows())).toEqual(whole);
    expect(small.messageBytes.length).toBeLessThanOrEqual(4);
    expect(Math.max(...small.messageBytes)).toBeLessThanOrEqual(64 * KIB * SLACK + 64);
  });

  test('come in order where small blocks lie beside large ones', async () => {
    const blocks = [5, 9000, 3, 4, 12_000, 1];
    const own = floats(10);
    for (const [i, rowCount] of blocks.entries()) {
      const writer = i === 0 ? await client.save('uneven', own) : await client.append('uneven');
      const firstRow = blocks.slice(0, i).reduce((sum, rows) => sum + rows, 0);
      const values = Float64Array.from({ length: rowCount }, (_, row) => firstRow + row);
      await writer.append(Object.fromEntries(own.variables.map(({ name }) => [name, values])));
      await writer.commit();
    }
    const rowCount = blocks.reduce((sum, rows) => sum + rows, 0);
    const expected = Float64Array.from({ length: rowCount }, (_, row) => row);
    for (const options of [{}, { columns: ['c3'] }, { maxBatchBytes: 64 * KIB }, { rows: [4, 9100] as const }]) {
      const { columns } = await client.load('uneven', options).toColumns();
      const [from, to] = 'rows' in options ? options.rows : [0, rowCount];
      for (const { values } of Object.values(columns)) expect(values).toEqual(expected.slice(from, to));
    }
  });

  test('are of a row at least, and under 4 MiB, however large rows and limit are', async () => {
    // 20 strings of 50,000 bytes are nearly the largest row.
    const variables = Array.from({ length: 20 }, (_, i) => ({ name: `t${i}`, role: 5, valueType: 4 }));
    const text = 'ä'.repeat(25_000);
    const writer = await client.save('large-rows', { variables });
    for (let row = 0; row < 8; row++)
      await writer.append(Object.fromEntries(variables.map(({ name }) => [name, [`${row}${text}`]])));
    await writer.commit();
    for (const maxBatchBytes of [64 * KIB, 3 * MIB]) {
      const { batches, messageBytes } = await rawLoad(channel, { key: 'large-rows', maxBatchBytes });
      expect(batches.reduce((rows, batch) => rows + batch.rowCount, 0)).toBe(8);
      expect(Math.max(...messageBytes)).toBeLessThan(4 * MIB);
      if (maxBatchBytes < MIB) expect(batches.map((batch) => batch.rowCount)).toEqual(Array(8).fill(1));
    }
    const { columns } = await client.load('large-rows', { columns: ['t19'] }).toColumns();
    expect(columns['t19']?.values).toEqual(Array.from({ length: 8 }, (_, row) => `${row}${text}`));
  });

  test.each([
    ['of all columns', {}],
    ['of some columns', { columns: ['s', 'b'] }],
    ['of a range', { firstRow: 3n, rowCount: 501n }],
  ])('%s carry the checksum of what is sent', async (_, request) => {
    const { batches } = await rawLoad(channel, { key: 'mixed', ...request });
    for (const batch of batches) expect(batch.crc32).toBe(checksumOf(batch));
    expect(batches.length).toBeGreaterThan(0);
  });

  test('of rows that were saved one by one are of the size of those of rows saved in bulk', async () => {
    await saveRun(daemon.address, 'one-by-one', WIDE, WIDE_RUN, 1);
    const load = await rawLoad(channel, { key: 'one-by-one' });
    expect(asText(load.rows())).toEqual(asText(WIDE_RUN));
    // Gathered rows are 256 KiB to 1 MiB: how many come together before an ack is due depends on how fast they come.
    expect(load.batches.length).toBeLessThanOrEqual(TOTAL / (256 * KIB) + 1);
  });

  test('that are missing come by a second load, from the row behind the last one on', async () => {
    const first = new RawLoad(channel, { key: 'wide', maxBatchBytes: 64 * KIB });
    while (first.batches.length < 5) await first.step();
    first.cancel();
    const revision = first.header?.result?.revision ?? 0n;
    const received = first.rows();
    // What is newest by now is not what goes on.
    await saveRun(daemon.address, 'wide', WIDE, floatRun(COLUMNS, 3));
    const second = await rawLoad(channel, { key: 'wide', revision, firstRow: BigInt(received.rowCount) });
    const rest = WIDE_RUN.rowCount - received.rowCount;
    expect(asText(received)).toEqual(asText(sliceBatch(schemaOf(WIDE.variables), WIDE_RUN, 0, received.rowCount)));
    expect(asText(second.rows())).toEqual(
      asText(sliceBatch(schemaOf(WIDE.variables), WIDE_RUN, received.rowCount, rest)),
    );
  });
});

describe('a load that is running', () => {
  // More than all buffers and windows on the way hold: the daemon has not read the rest when the key changes.
  const BIG = floats(4);
  const BIG_RUN = floatRun(4, 2 * MIB);

  test.each([
    ['deleted', (key: string) => client.deleteResult(key)],
    ['saved anew', (key: string) => saveRun(daemon.address, key, BIG, floatRun(4, 10))],
  ])('goes on to its end when its key is %s', async (name, change) => {
    const key = `big/${name}`;
    await saveRun(daemon.address, key, BIG, BIG_RUN, 64 * KIB);
    const load = new RawLoad(channel, { key });
    while (load.batches.length < 1) await load.step();
    await change(key);
    expect((await client.getStatus()).streamCount).toBeGreaterThanOrEqual(1n);
    await load.toEnd();
    expect(load.trailerRowCount).toBe(BigInt(BIG_RUN.rowCount));
    // Not toEqual: it takes a minute for 64 MiB.
    const same = load.rows().columns.map(({ values }, i) => Buffer.from(values).equals(bytesOf(BIG_RUN, i)));
    expect(same).toEqual([true, true, true, true]);
  });
});

describe('chosen columns of a large result', () => {
  // 9.6 MB, in blocks of 480 kB a column.
  const COLUMNS = 3;
  const LARGE = floats(COLUMNS);
  const LARGE_RUN = floatRun(COLUMNS, 400_000);
  const FILE_BYTES = LARGE_RUN.rowCount * COLUMNS * 8;
  const DAMAGED_ROW = 200_000;
  let bare: TestDaemon;
  let toBare: Channel;

  beforeAll(async () => {
    // What the cache holds is not read from disk.
    bare = await TestDaemon.startWith({ use_cache: false });
    toBare = new Channel(bare.address);
    await saveRun(bare.address, 'large', LARGE, LARGE_RUN, 60_000);
  });

  afterAll(async () => {
    toBare.close();
    await bare[Symbol.asyncDispose]();
  });

  /** Bytes that the daemon reads, files and sockets, while something is done; Linux counts them. */
  async function bytesRead(act: () => Promise<unknown>): Promise<number> {
    const count = async () => {
      const text = await readFile(`/proc/${bare.process.pid}/io`, 'utf8');
      return Number(/^rchar: (\d+)$/m.exec(text)?.[1]);
    };
    const before = await count();
    await act();
    return (await count()) - before;
  }

  test('are all that is read from disk', async () => {
    const all = await bytesRead(() => rawLoad(toBare, { key: 'large' }));
    const one = await bytesRead(() => rawLoad(toBare, { key: 'large', columns: ['c1'] }));
    const few = await bytesRead(() => rawLoad(toBare, { key: 'large', firstRow: 1000n, rowCount: 10n }));
    expect(all).toBeGreaterThan(FILE_BYTES);
    expect(one).toBeGreaterThan(FILE_BYTES / COLUMNS);
    expect(one).toBeLessThan((FILE_BYTES / COLUMNS) * 1.2);
    expect(few).toBeLessThan(FILE_BYTES / 3);
  });

  test('load where another one is damaged on disk; the damaged one is told, and its whole part loads', async () => {
    const damaged = await damage(bare.folder, DAMAGED_ROW + 1 / 1000);
    expect(damaged).toBe(1);
    for (const columns of [['c0'], ['c2'], ['c2', 'c0']]) {
      const rows = (await rawLoad(toBare, { key: 'large', columns })).rows();
      const same = columns.map((name, i) =>
        Buffer.from(rows.columns[i]?.values ?? []).equals(bytesOf(LARGE_RUN, Number(name.slice(1)))),
      );
      expect(same).toEqual(columns.map(() => true));
    }
    for (const columns of [['c1'], ['c0', 'c1'], []]) {
      const load = new RawLoad(toBare, { key: 'large', columns });
      expect(await load.error()).toMatchObject({ reason: 'RESULT_CORRUPT', code: 15 });
      expect(load.trailerRowCount).toBeUndefined();
      for (const batch of load.batches)
        expect(Number(batch.firstRow) + batch.rowCount).toBeLessThanOrEqual(DAMAGED_ROW);
    }
    const before = await rawLoad(toBare, { key: 'large', columns: ['c1'], rowCount: 100_000n });
    expect(Buffer.from(before.rows().columns[0]?.values ?? []).equals(bytesOf(LARGE_RUN, 1).subarray(0, 800_000))).toBe(
      true,
    );
  });
});

function bytesOf(run: Batch, column: number): Buffer {
  return Buffer.from(run.columns[column]?.values ?? []);
}

/** Turns one bit of a double in the store's row files, wherever it lies; gives how often it was found. */
async function damage(folder: string, value: number): Promise<number> {
  const pattern = Buffer.alloc(8);
  pattern.writeDoubleLE(value);
  const segments = join(folder, 'data', 'segments');
  let found = 0;
  for (const name of await readdir(segments)) {
    const bytes = await readFile(join(segments, name));
    for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + 1)) {
      if (at % 8 !== 0) continue;
      found++;
      await using file = await open(join(segments, name), 'r+');
      await file.write(Uint8Array.of((bytes[at] ?? 0) ^ 1), 0, 1, at);
    }
  }
  return found;
}
