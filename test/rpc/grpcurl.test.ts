import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { PROBLEM, TestDaemon } from './wire.js';

const run = promisify(execFile);
const VERSION = 'v1.9.3';
const FOLDER = resolve(`node_modules/.cache/optistore-grpcurl-${VERSION}`);

let daemon: TestDaemon;

beforeAll(async () => {
  if (!existsSync(join(FOLDER, 'grpcurl'))) {
    const env = { ...process.env, GOBIN: FOLDER, GOFLAGS: '-mod=mod' };
    await run('go', ['install', `github.com/fullstorydev/grpcurl/cmd/grpcurl@${VERSION}`], { env });
  }
  daemon = await TestDaemon.start();
  await using client = createClient({ address: daemon.address });
  const writer = await client.save('seen/by/grpcurl', PROBLEM, { tags: { who: 'grpcurl' } });
  await writer.append({ x: [1], label: ['a'] });
  await writer.commit();
});

afterAll(() => daemon[Symbol.asyncDispose]());

/** Runs it: flags, then a verb or method, then what it is about. */
async function grpcurl(...args: string[]): Promise<string> {
  const verb = args.findIndex((arg) => arg === 'list' || arg === 'describe' || /^\w+\..*v1/.test(arg));
  const command = ['-plaintext', ...args.slice(0, verb), daemon.address, ...args.slice(verb)];
  return (await run(join(FOLDER, 'grpcurl'), command)).stdout;
}

describe('grpcurl, which knows the service by reflection only,', () => {
  test('lists it, beside health', async () => {
    const services = (await grpcurl('list')).trim().split('\n');
    expect(services).toContain('optistore.v1.StorageService');
    expect(services).toContain('grpc.health.v1.Health');
  });

  test('describes service and messages', async () => {
    const service = await grpcurl('describe', 'optistore.v1.StorageService');
    expect(service).toContain('rpc SaveResult ( stream .optistore.v1.SaveResultRequest )');
    expect(await grpcurl('describe', 'optistore.v1.RowBatch')).toContain('uint64 first_row = 1;');
  });

  test('calls it', async () => {
    const status = JSON.parse(await grpcurl('optistore.v1.StorageService/GetStatus')) as object;
    expect(status).toMatchObject({ backends: [{ role: 'BACKEND_PRIMARY', type: 'leveldb' }] });
    const tags = JSON.stringify({ tags: { who: 'grpcurl' } });
    const listed = JSON.parse(await grpcurl('-d', tags, 'optistore.v1.StorageService/ListResults')) as object;
    expect(listed).toMatchObject({ results: [{ key: 'seen/by/grpcurl', rowCount: '1', revision: '1' }] });
    const load = await grpcurl('-d', '{"key":"seen/by/grpcurl"}', 'optistore.v1.StorageService/LoadResult');
    expect(load).toContain('"trailer"');
  });

  test('shows the reason of an error', async () => {
    const failed = grpcurl('-d', '{"key":"no/such"}', 'optistore.v1.StorageService/GetResult');
    await expect(failed).rejects.toMatchObject({
      stderr: expect.stringMatching(/NotFound[^]*ErrorInfo[^]*RESULT_NOT_FOUND/) as string,
    });
  });

  test('hears from the health service that it is SERVING', async () => {
    for (const data of ['{}', '{"service":"optistore.v1.StorageService"}']) {
      expect(await grpcurl('-d', data, 'grpc.health.v1.Health/Check')).toContain('"status": "SERVING"');
    }
  });
});
