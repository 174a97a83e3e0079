import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ProblemSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Channel } from '../../clients/typescript/channel.js';
import { createClient, OptistoreError, type OptistoreClient } from '../../clients/typescript/index.js';
import { LoadResultRequestSchema, type LoadResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { schemaOf, type Batch } from '../../server/rows/batch.js';
import { checkBatch } from '../../server/rows/check.js';
import { gatherBatches } from '../../server/rows/gather.js';
import { sliceBatch } from '../../server/rows/slice.js';
import { toRowBatch } from '../../server/rows/wire.js';
import { anyCuts, anyVariablesAndRun } from '../rows/arbitrary-batch.js';
import { asText } from '../backends/runs.js';
import { RawSave, TestDaemon } from './wire.js';

let daemon: TestDaemon;
let client: OptistoreClient;
let channel: Channel;

beforeAll(async () => {
  daemon = await TestDaemon.start();
  client = createClient({ address: daemon.address, retryMs: 0 });
  channel = new Channel(daemon.address);
});

afterAll(async () => {
  client.close();
  channel.close();
  await daemon[Symbol.asyncDispose]();
});

/** How a client sends a run: each session opens the upload, sends pieces with some rows again, and breaks off. */
const anySessions = (rowCount: number) =>
  fc.array(
    fc.record({
      cuts: anyCuts(rowCount),
      /** Rows before the one that is asked for, sent once more. */
      again: fc.nat({ max: rowCount }),
      /** Pieces after which it breaks off. */
      pieces: fc.nat({ max: 6 }),
      how: fc.constantFrom('flush', 'cancel', 'end'),
    }),
    { maxLength: 4 },
  );

const anySave = anyVariablesAndRun.chain(({ variables, run }) =>
  fc.record({
    problem: fc.constant(create(ProblemSchema, { variables })),
    run: fc.constant(run),
    sessions: anySessions(run.rowCount),
    last: anyCuts(run.rowCount),
  }),
);

let number = 0;

test('however a run is cut into batches, sent again, broken off and resumed, what loads is the same', async () => {
  const property = fc.asyncProperty(anySave, async ({ problem, run, sessions, last }) => {
    const uploadId = `cut-${number++}`;
    const key = `cut/${uploadId}`;
    const schema = schemaOf(problem.variables);
    const open = async () => {
      const save = new RawSave(daemon.address);
      const opened = await save.send({ case: 'open', value: { key, uploadId, problem } }).answer('opened');
      return { save, nextRow: Number(opened.nextRow) };
    };
    const send = (save: RawSave, from: number, cuts: readonly number[], pieces: number) => {
      const ends = cuts.filter((cut) => cut > from).slice(0, pieces);
      for (const [i, end] of ends.entries()) {
        const start = i === 0 ? from : (ends[i - 1] ?? from);
        save.send({ case: 'batch', value: toRowBatch(sliceBatch(schema, run, start, end - start), problem.variables) });
      }
    };
    for (const { cuts, again, pieces, how } of sessions) {
      const { save, nextRow } = await open();
      send(save, Math.max(nextRow - again, 0), cuts, pieces);
      if (how === 'flush') await save.send({ case: 'flush', value: {} }).answer('ack');
      if (how === 'end') save.end();
      else save.cancel();
    }
    const { save, nextRow } = await open();
    send(save, nextRow, last, Infinity);
    save.send({ case: 'commit', value: { rowCount: BigInt(run.rowCount) } });
    const { result } = await save.answer('committed');
    save.end();
    expect(result?.rowCount).toBe(BigInt(run.rowCount));
    const batches: Batch[] = [];
    const responses = channel.load(create(LoadResultRequestSchema, { key })) as AsyncIterable<LoadResultResponse>;
    for await (const { message } of responses)
      if (message.case === 'batch') batches.push(checkBatch(schema, message.value));
    expect(asText(gatherBatches(schema, batches))).toEqual(asText(run));
  });
  await fc.assert(property, { numRuns: 60 });
});

/** The rule of DESIGN.md's table, written anew. */
function isKey(key: string): boolean {
  if (Buffer.from(key).toString() !== key || Buffer.byteLength(key) > 512) return false;
  for (const char of key) if (/\p{Cc}/u.test(char)) return false;
  return key.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

const anyKey = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({ unit: 'grapheme', maxLength: 600 }),
  fc
    .array(fc.constantFrom('a', '.', '..', '', 'ä', ' ', '%2e', 'CON', '\0', '\u{1f600}', '...'), { maxLength: 6 })
    .map((parts) => parts.join('/')),
);

test('any text is a key and found again under just that key, or refused as KEY_INVALID', async () => {
  const property = fc.asyncProperty(anyKey, async (key) => {
    try {
      const writer = await client.save(key, { name: key });
      await writer.commit();
      expect(isKey(key)).toBe(true);
      const result = await client.getResult(key);
      expect([result.key, result.problem?.name]).toEqual([key, key]);
      const listed: string[] = [];
      for await (const { key: found } of client.listResults({ prefix: key })) listed.push(found);
      expect(listed[0]).toBe(key);
      await client.deleteResult(key);
    } catch (error) {
      if (!(error instanceof OptistoreError)) throw error;
      expect(error).toMatchObject({ reason: 'KEY_INVALID', code: 3 });
      expect(isKey(key)).toBe(false);
    }
  });
  await fc.assert(property, { numRuns: 300 });
});
