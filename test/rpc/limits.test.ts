import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import type { OptistoreError } from '../../clients/typescript/errors.js';
import { ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import {
  ListResultsRequestSchema,
  ListUploadsRequestSchema,
  PutResultSetRequestSchema,
  type SaveOpenSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { GrpcCode } from '../../server/errors.js';
import { Tokens } from '../../server/rpc/access/tokens.js';
import { createToken } from '../../server/rpc/access/token-file.js';
import { all, RUNNING, uploadSpec } from '../backends/runs.js';
import { FILE_STORES } from '../faults/killed-daemon.js';
import { openOwnDoor, type OwnDoor } from '../faults/own-door.js';
import { PROBLEM, RawSave, rowsFrom, sharedDaemon, TestDaemon } from './wire.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const FLOAT = { name: 'x', role: 1, valueType: 1 };
const BOOLS = { variables: [{ name: 'b', role: 5, valueType: 3 }] };

const { daemon, client, channel } = await sharedDaemon();

type Open = MessageInitShape<typeof SaveOpenSchema>;

async function refusedOpen(open: Open, address = daemon.address, token?: string): Promise<OptistoreError> {
  const save = new RawSave(address, { token: token ?? '' });
  save.send({ case: 'open', value: { key: 'limits/x', problem: PROBLEM, ...open } }).end();
  return await save.error();
}

describe('an open beyond a limit is told the limit, what it asked for, and what to do', () => {
  const variables = (count: number, nameBytes = 1) =>
    Array.from({ length: count }, (_, i) => ({ ...FLOAT, name: `${i}`.padEnd(nameBytes, '.') }));
  const tags = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`t${i}`, '']));

  test.each<[string, Open, string, RegExp]>([
    ['a key of 513 bytes', { key: 'k'.repeat(513) }, 'KEY_INVALID', /513 bytes.*1 to 512 bytes/],
    ['16,385 columns', { problem: { variables: variables(16_385) } }, 'TOO_MANY_COLUMNS', /16385.*16384.*Split/],
    [
      'a problem of a MiB',
      { problem: { variables: variables(5000, 200) } },
      'PROBLEM_INVALID',
      /\d{7}.*786432.*Shorten/,
    ],
    [
      'a problem whose name has 1025 bytes',
      { problem: { name: 'n'.repeat(1025) } },
      'PROBLEM_INVALID',
      /1025.*1024.*Shorten/,
    ],
    [
      'a variable whose name has 257 bytes',
      { problem: { variables: variables(1, 257) } },
      'PROBLEM_INVALID',
      /257.*256.*Shorten/,
    ],
    ['257 tags', { tags }, 'REQUEST_INVALID', /257 tags.*256.*attributes/],
    ['a tag name of 129 bytes', { tags: { ['t'.repeat(129)]: '' } }, 'REQUEST_INVALID', /129.*128.*Shorten/],
    ['a tag value of 1025 bytes', { tags: { t: 'v'.repeat(1025) } }, 'REQUEST_INVALID', /1025.*1024.*Shorten/],
    ['a description of 65,537 bytes', { description: 'd'.repeat(65_537) }, 'REQUEST_INVALID', /65537.*65536.*Shorten/],
    [
      'attributes of 65,537 bytes',
      { attributes: { a: 'x'.repeat(65_529) } },
      'REQUEST_INVALID',
      /65537.*65536.*Shorten/,
    ],
    ['an upload id of 129 characters', { uploadId: 'u'.repeat(129) }, 'REQUEST_INVALID', /129.*128.*another/],
  ])('%s', async (_, open, reason, message) => {
    const error = await refusedOpen(open);
    expect(error.reason).toBe(reason);
    expect(error.message).toMatch(message);
  });
});

describe('a batch', () => {
  test('has as many rows as fit into its message, and says of more than came how many bytes they need', async () => {
    const rowCount = 4 * MIB - 100;
    const column = { values: { case: 'boolValues' as const, value: new Uint8Array(rowCount) } };
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: 'limits/bools', problem: BOOLS } });
    save.send({ case: 'batch', value: { rowCount, columns: [column] } });
    save.send({ case: 'commit', value: { rowCount: BigInt(rowCount) } });
    expect((await save.answer('committed')).result?.rowCount).toBe(BigInt(rowCount));
    await save.endAndWait();
    const few = { values: { case: 'boolValues' as const, value: new Uint8Array(8) } };
    for (const claimed of [9, 2 ** 32 - 1]) {
      const wrong = new RawSave(daemon.address);
      wrong.send({ case: 'open', value: { key: 'limits/claimed', problem: BOOLS } });
      wrong.send({ case: 'batch', value: { rowCount: claimed, columns: [few] } });
      const error = await wrong.error();
      expect(error).toMatchObject({ reason: 'BATCH_MISMATCH', code: GrpcCode.INVALID_ARGUMENT });
      expect(error.message).toContain(`has 8 bytes; ${claimed} rows need ${claimed}`);
    }
  });
});

describe('a page', () => {
  const list = (request: object) =>
    channel.unary('listResults', create(ListResultsRequestSchema, { prefix: 'pages/', ...request }));

  test('has 100 results unless more or fewer are asked for, at most 1,000', async () => {
    for (let i = 0; i < 101; i++) await (await client.save(`pages/few/${i}`, PROBLEM)).commit();
    const page = await list({ prefix: 'pages/few/' });
    expect(page.results).toHaveLength(100);
    expect(page.nextPageToken).not.toBe('');
    const tooMany = { reason: 'REQUEST_INVALID', message: expect.stringMatching(/1001.*1000.*Ask for less/) as string };
    await expect(list({ pageSize: 1001 })).rejects.toMatchObject(tooMany);
    const uploads = create(ListUploadsRequestSchema, { pageSize: 1001 });
    await expect(channel.unary('listUploads', uploads)).rejects.toMatchObject(tooMany);
  });

  test('is cut at a MiB, and the rest comes on the next', async () => {
    const large = {
      description: 'd'.repeat(64 * KIB),
      attributes: { a: 'x'.repeat(64 * KIB - 8) },
      tags: Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`t${i}`, 'v'.repeat(1024)])),
    };
    for (let i = 0; i < 6; i++) await (await client.save(`pages/large/${i}`, PROBLEM, large)).commit();
    const ask = { prefix: 'pages/large/', pageSize: 1000, view: ResultView.FULL };
    const first = await list(ask);
    expect(first.results.length).toBeLessThan(6);
    const second = await list({ ...ask, pageToken: first.nextPageToken });
    expect([...first.results, ...second.results].map(({ key }) => key.at(-1)).join('')).toBe('012345');
  });

  test.each([
    ['of 4,097 bytes', `key = "${'a'.repeat(4097 - 8)}"`, /at most 4096 bytes/],
    ['of 51 levels', `${'('.repeat(51)}rows > 1${')'.repeat(51)}`, /at most 50 levels/],
  ])('of a filter %s is refused', async (_, filter, message) => {
    const error = await list({ filter }).then(
      () => undefined,
      (thrown: OptistoreError) => thrown,
    );
    expect(error).toMatchObject({ reason: 'FILTER_INVALID', code: GrpcCode.INVALID_ARGUMENT });
    expect(error?.message).toMatch(message);
  });
});

describe('the result sets of a result', () => {
  test('take 8 MiB of row numbers and 256 KiB of text at most', async () => {
    const rowCount = 24 * MIB;
    const save = new RawSave(daemon.address);
    save.send({ case: 'open', value: { key: 'limits/sets', problem: BOOLS } });
    for (let firstRow = 0; firstRow < rowCount; firstRow += 2 * MIB) {
      const column = { values: { case: 'boolValues' as const, value: new Uint8Array(2 * MIB) } };
      save.send({ case: 'batch', value: { firstRow: BigInt(firstRow), rowCount: 2 * MIB, columns: [column] } });
    }
    save.send({ case: 'commit', value: { rowCount: BigInt(rowCount) } });
    await save.answer('committed');
    await save.endAndWait();
    // A bit a row is the smallest form of every other row: 3 MiB.
    const value = new Uint8Array(3 * MIB).fill(0x55);
    const put = (name: string, more: object) =>
      channel.unary('putResultSet', create(PutResultSetRequestSchema, { key: 'limits/sets', name, ...more }));
    const rows = { rows: { form: { case: 'bitmap' as const, value } } };
    for (const name of ['a', 'b']) await put(name, rows);
    await expect(put('c', rows)).rejects.toMatchObject({
      ...{ reason: 'TOO_MANY_RESULT_SETS', code: GrpcCode.RESOURCE_EXHAUSTED },
      message: expect.stringMatching(/8388608 bytes of their row numbers.*9437184 bytes.*Delete/) as string,
    });
    const texts = Array.from({ length: 65 }, (_, i) => ({ name: `${i}`, description: 'd'.repeat(4 * KIB) }));
    const told = new RawSave(daemon.address);
    told.send({ case: 'open', value: { key: 'limits/told', problem: PROBLEM } });
    told.send({ case: 'commit', value: { rowCount: 0n, resultSets: texts } });
    const error = await told.error();
    expect(error.reason).toBe('TOO_MANY_RESULT_SETS');
    expect(error.message).toMatch(/262144 bytes of what is said.*Delete/);
  });
});

describe('open uploads', () => {
  /** Opens uploads beside the wire. */
  async function openMany({ manager }: OwnDoor, count: number, createdBy: string) {
    const open = (_: unknown, i: number) =>
      manager.openUpload(uploadSpec(`many/${i}`, `many-${createdBy}-${i}`, { createdBy }), RUNNING);
    const opened = await Promise.allSettled(Array.from({ length: count }, open));
    return opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  }

  test('are 10,000 at most in a store, however many are opened at once; when one ends there is room again', async () => {
    await using door = await openOwnDoor({ primary: { type: 'memory', max_memory_mb: 512 } });
    const uploads = await openMany(door, 10_010, '');
    expect(uploads).toHaveLength(10_000);
    for (const upload of uploads.splice(0, 10)) await upload[Symbol.asyncDispose]();
    const saves = Array.from({ length: 30 }, () => new RawSave(door.address));
    const answers = await Promise.allSettled(
      saves.map((save, i) => {
        save.send({ case: 'open', value: { key: `wire/${i}`, problem: PROBLEM } });
        return save.answer('opened');
      }),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    const error = await refusedOpen({}, door.address);
    expect(error).toMatchObject({ reason: 'TOO_MANY_UPLOADS', code: GrpcCode.RESOURCE_EXHAUSTED });
    expect(error.message).toMatch(/10000 uploads.*Commit or abort/);
    await uploads[0]?.[Symbol.asyncDispose]();
    const save = new RawSave(door.address).send({ case: 'open', value: { key: 'room', problem: PROBLEM } });
    await save.answer('opened');
    for (const each of [...saves, save]) each.cancel();
    for (const upload of uploads) await upload[Symbol.asyncDispose]();
  });

  test('of a token are 1,000 at most, however many are opened at once; others have their own, and resuming needs none', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-limits-'));
    const file = join(folder, 'tokens.json');
    const [token, other] = ['a', 'b'].map((name) => createToken(file, { name, scope: 'write', prefix: '' }));
    using tokens = new Tokens(file);
    await using door = await openOwnDoor({ tokens });
    const uploads = await openMany(door, 995, 'a');
    const saves = Array.from({ length: 20 }, () => new RawSave(door.address, { token }));
    const answers = await Promise.allSettled(
      saves.map((save, i) => {
        save.send({ case: 'open', value: { key: `wire/${i}`, uploadId: `wire-${i}`, problem: PROBLEM } });
        save.send({ case: 'batch', value: rowsFrom(0, 1) }).send({ case: 'flush', value: {} });
        return save.answer('ack');
      }),
    );
    const opened = answers.flatMap(({ status }, i) => (status === 'fulfilled' ? [i] : []));
    expect(opened).toHaveLength(5);
    const error = await refusedOpen({}, door.address, token);
    expect(error).toMatchObject({ reason: 'TOO_MANY_UPLOADS', code: GrpcCode.RESOURCE_EXHAUSTED });
    expect(error.message).toMatch(/the token "a".*1000.*at most 1000.*Commit or abort/);
    for (const [credential, uploadId] of [
      [token, `wire-${opened[0]}`],
      [other, 'of-another'],
    ] as const) {
      const save = new RawSave(door.address, { token: credential });
      save.send({ case: 'open', value: { key: `wire/${opened[0]}`, uploadId, problem: PROBLEM } });
      await save.answer('opened');
      save.cancel();
    }
    await using own = createClient({ address: door.address, token: token ?? '' });
    await own.abortUpload(`wire-${opened[0]}`);
    const save = new RawSave(door.address, { token }).send({ case: 'open', value: { key: 'room', problem: PROBLEM } });
    await save.answer('opened');
    for (const each of [...saves, save]) each.cancel();
    for (const upload of uploads) await upload[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
});

test.each(FILE_STORES)(
  'a $name store holds no more than its quota, says how much, and goes on when there is room',
  async ({ settings }) => {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-limits-'));
    const primary = { ...settings(folder), quota_mb: 4 };
    await using limited = await TestDaemon.startWith({ primary, use_cache: false });
    await using own = createClient({ address: limited.address });
    const whole = async (key: string) => {
      const save = new RawSave(limited.address);
      save.send({ case: 'open', value: { key, uploadId: `of-${key}`, problem: PROBLEM } });
      for (let i = 0; i < 4; i++) save.send({ case: 'batch', value: rowsFrom(i * 50_000, 50_000) });
      save.send({ case: 'commit', value: { rowCount: 200_000n } });
      return await save.answer('committed').catch((thrown: unknown) => save.explain(thrown));
    };
    await whole('kept');
    const refused = await whole('more');
    expect(refused).toMatchObject({ reason: 'QUOTA_EXCEEDED', code: GrpcCode.RESOURCE_EXHAUSTED });
    const { message, metadata } = refused as OptistoreError;
    for (const fact of ['wanted_bytes', 'used_bytes', 'allowed_bytes'])
      expect(message, fact).toContain(metadata[fact] ?? 'no such fact');
    expect(metadata['allowed_bytes']).toBe(String(4 * MIB));
    expect(message).toMatch(/delete results, abort uploads or raise quota_mb/);
    expect((await own.load('kept').toColumns()).columns['x']?.values).toHaveLength(200_000);
    await own.deleteResult('kept');
    expect(await whole('more')).toMatchObject({ result: { rowCount: 200_000n } });
    expect((await all(own.listResults())).map(({ key }) => key)).toEqual(['more']);
    await rm(folder, { recursive: true, force: true });
  },
);
