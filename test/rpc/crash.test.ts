import { afterEach, describe, expect, test, vi } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { Channel } from '../../clients/typescript/channel.js';
import { schemaOf, type Batch } from '../../server/rows/batch.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { toRowBatch } from '../../server/rows/wire.js';
import { asText } from '../backends/runs.js';
import { Http2Load } from './http2-load.js';
import { RawLoad, rawLoad, saveRun } from './raw-load.js';
import { floatRun, floats, MIXED, mixedRun } from './sample-runs.js';
import { RawSave, TestDaemon } from './wire.js';

const SCHEMA = schemaOf(MIXED.variables);

let daemon: TestDaemon;
let channel: Channel | undefined;

afterEach(async () => {
  channel?.close();
  channel = undefined;
  await daemon[Symbol.asyncDispose]();
});

function open(uploadId: string): RawSave {
  return new RawSave(daemon.address).send({ case: 'open', value: { key: `k/${uploadId}`, uploadId, problem: MIXED } });
}

/** Where the daemon goes on with an upload. */
async function nextRowOf(uploadId: string): Promise<number> {
  const save = open(uploadId);
  const { nextRow } = await save.answer('opened');
  await save.endAndWait();
  return Number(nextRow);
}

async function commitRest(uploadId: string, run: Batch, from: number): Promise<void> {
  const save = open(uploadId);
  for (let at = from; at < run.rowCount; at += 10_000) {
    const part = sliceBatch(SCHEMA, run, at, Math.min(10_000, run.rowCount - at));
    save.send({ case: 'batch', value: toRowBatch(part, MIXED.variables) });
  }
  save.send({ case: 'commit', value: { rowCount: BigInt(run.rowCount) } });
  await save.answer('committed');
  await save.endAndWait();
}

describe('SIGKILL', () => {
  test('just after a commit was answered, keeps the result; before it, the upload', async () => {
    daemon = await TestDaemon.start();
    channel = new Channel(daemon.address);
    const run = mixedRun(3000);
    for (let i = 0; i < 3; i++) {
      const save = open(`commit-${i}`);
      save.send({ case: 'batch', value: toRowBatch(run, MIXED.variables) }).send({ case: 'flush', value: {} });
      await save.answer('ack');
      save.send({ case: 'commit', value: { rowCount: 3000n } });
      if (i > 0) await save.answer('committed');
      await daemon.process.stop('SIGKILL');
      save.cancel();
      await daemon.restart();
      // Whether the first one came in time is not known; to repeat it gives the result either way.
      await commitRest(`commit-${i}`, run, 3000);
      const load = await rawLoad(channel, { key: `k/commit-${i}` });
      expect(load.header?.result?.revision).toBe(1n);
      expect(asText(load.rows())).toEqual(asText(run));
    }
  });

  test('of the daemon is not noticed by who uses the client, but for a pause', async () => {
    daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address });
    const writer = await client.save('k/solver', { variables: [{ name: 'x', role: 1, valueType: 1 }] });
    for (let row = 0; row < 300; row++) {
      await writer.append({ x: [row] });
      if (row % 100 !== 50) continue;
      if (row % 200 === 50) await writer.flush();
      await daemon.process.stop('SIGKILL');
      await daemon.restart();
    }
    expect((await writer.commit()).rowCount).toBe(300n);
    const { columns } = await client.load('k/solver').toColumns();
    expect(columns['x']?.values).toEqual(Float64Array.from({ length: 300 }, (_, row) => row));
  });

  test('in the middle of a load: a second one goes on behind the last row', async () => {
    daemon = await TestDaemon.start();
    channel = new Channel(daemon.address);
    const run = floatRun(4, 1 << 20);
    await saveRun(daemon.address, 'k/load', floats(4), run, 1 << 16);
    const first = new RawLoad(channel, { key: 'k/load' });
    while (first.batches.length < 2) await first.step();
    await daemon.process.stop('SIGKILL');
    expect((await first.error()).isRetryable).toBe(true);
    await daemon.restart();
    const received = first.rows().rowCount;
    const revision = first.header?.result?.revision ?? 0n;
    const second = new Channel(daemon.address);
    const rest = (await rawLoad(second, { key: 'k/load', revision, firstRow: BigInt(received) })).rows();
    second.close();
    expect(received + rest.rowCount).toBe(run.rowCount);
    const whole = Buffer.concat([valuesOf(first.rows(), 3), valuesOf(rest, 3)]);
    expect(whole.equals(valuesOf(run, 3))).toBe(true);
  });
});

describe('SIGTERM', () => {
  test('in mid-stream syncs what came, says where to go on, and ends with 0', async () => {
    daemon = await TestDaemon.start();
    channel = new Channel(daemon.address);
    const run = mixedRun(30_000);
    const save = open('drained');
    for (let at = 0; at < 20_000; at += 500)
      save.send({ case: 'batch', value: toRowBatch(sliceBatch(SCHEMA, run, at, 500), MIXED.variables) });
    let acked = Number((await save.answer('ack')).durableRowCount);
    const ended = daemon.process.stop('SIGTERM');
    const { error, lastAck } = await drained(save);
    expect(error).toMatchObject({ reason: 'SHUTTING_DOWN', code: 14, metadata: { upload_id: 'drained' } });
    expect(await ended).toBe(0);
    acked = Math.max(acked, lastAck);
    const nextRow = Number(error.metadata['next_row']);
    expect(nextRow).toBeGreaterThanOrEqual(acked);
    expect(nextRow).toBeLessThanOrEqual(20_000);
    await daemon.restart();
    expect(await nextRowOf('drained')).toBe(nextRow);
    await commitRest('drained', run, nextRow);
    const load = await rawLoad(channel, { key: 'k/drained' });
    expect(asText(load.rows())).toEqual(asText(run));
  });

  test('makes rows durable that it has received and not yet acked', async () => {
    daemon = await TestDaemon.start();
    const save = open('received');
    await save.answer('opened');
    const run = mixedRun(10);
    save.send({ case: 'batch', value: toRowBatch(run, MIXED.variables) });
    // Only so is it known to have come: an ack may take 50 ms yet.
    save.send({ case: 'flush', value: {} });
    await save.answer('ack');
    save.send({ case: 'batch', value: toRowBatch({ ...run, firstRow: 10 }, MIXED.variables) });
    const ended = daemon.process.stop('SIGTERM');
    const { error } = await drained(save);
    expect(await ended).toBe(0);
    expect(error.reason).toBe('SHUTTING_DOWN');
    await daemon.restart();
    expect(await nextRowOf('received')).toBe(Number(error.metadata['next_row']));
  });

  test('ends every open save, also those that are silent', async () => {
    daemon = await TestDaemon.start();
    const saves = ['a', 'b', 'c'].map(open);
    for (const save of saves) await save.answer('opened');
    const ended = daemon.process.stop('SIGTERM');
    const errors = await Promise.all(saves.map((save) => save.error()));
    expect(errors.map(({ reason, metadata }) => [reason, metadata['next_row']])).toEqual(
      saves.map(() => ['SHUTTING_DOWN', '0']),
    );
    expect(await ended).toBe(0);
  });

  test('in the middle of a load says where to go on, just behind the last row sent, and ends with 0', async () => {
    daemon = await TestDaemon.start();
    channel = new Channel(daemon.address);
    await saveRun(daemon.address, 'k/load', floats(4), floatRun(4, 2 << 20), 1 << 16);
    const load = new Http2Load(daemon.address, { key: 'k/load' });
    expect((await load.next())?.message.case).toBe('header');
    const ended = daemon.process.stop('SIGTERM');
    // Who reads on before it has heard the signal may get all.
    await vi.waitFor(() => expect(daemon.process.log.some((line) => line.includes('"draining"'))).toBe(true), 5000);
    let received = 0n;
    for (let next = await load.next(); next !== undefined; next = await load.next())
      if (next.message.case === 'batch') received += BigInt(next.message.value.rowCount);
    const { code, info } = await load.status();
    load.close();
    expect({ code, reason: info?.reason, domain: info?.domain }).toEqual({
      ...{ code: 14, reason: 'SHUTTING_DOWN', domain: 'optistore' },
    });
    expect(info?.metadata['next_row']).toBe(String(received));
    expect(received).toBeLessThan(2n << 20n);
    expect(await ended).toBe(0);
  });
});

/** Reads a save to its error, and the last ack before it. */
async function drained(save: RawSave) {
  let lastAck = 0;
  try {
    for (;;) lastAck = Number((await save.answer('ack')).durableRowCount);
  } catch (thrown) {
    return { error: save.explain(thrown), lastAck };
  }
}

function valuesOf(batch: Batch, column: number): Buffer {
  return Buffer.from(batch.columns[column]?.values ?? []);
}
