import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { protoPath as healthProto } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { goTool } from './go-tool.js';
import { TestDaemon } from './wire.js';

const VERSION = 'v1.9.4';
const SERVICE = 'optistore.v1.StorageService';

const run = promisify(execFile);

let daemon: TestDaemon;
let folder: string;
let tool: string;

beforeAll(async () => {
  tool = await goTool('github.com/fullstorydev/grpcurl/cmd/grpcurl', VERSION);
  folder = await mkdtemp(join(tmpdir(), 'optistore-grpcurl-'));
  daemon = await TestDaemon.start('--socket', join(folder, 'optistore.sock'));
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describe.each([
  ['TCP', () => [daemon.address]],
  ['a Unix socket', () => ['-unix', join(folder, 'optistore.sock')]],
] as const)('grpcurl over %s, which knows nothing but the address', (door, server) => {
  /** What it prints; fails with what it says where it fails. */
  const grpcurl = async (flags: readonly string[], ...what: readonly string[]): Promise<string> =>
    (await run(tool, ['-plaintext', '-max-time', '30', ...flags, ...server(), ...what], { timeout: 60_000 })).stdout;
  const call = async (method: string, request: string, ...flags: readonly string[]): Promise<unknown> =>
    JSON.parse(await grpcurl(['-emit-defaults', ...flags, '-d', request], method));
  /** The status that a call fails with, details included. */
  const statusOf = async (method: string, request: object): Promise<unknown> => {
    const failure = await grpcurl(['-format-error', '-d', JSON.stringify(request)], method).then(
      (answer) => new Error(`it succeeded: ${answer}`),
      (error: unknown) => error as Error & { stderr?: string },
    );
    if (!('stderr' in failure) || failure.stderr === undefined) throw failure;
    return JSON.parse(failure.stderr);
  };

  test('lists the services', async () => {
    const services = (await grpcurl([], 'list')).trim().split('\n');
    expect(services).toEqual(expect.arrayContaining([SERVICE, 'grpc.health.v1.Health']));
  });

  test('can describe every service that is listed', async () => {
    const services = (await grpcurl([], 'list')).trim().split('\n');
    for (const service of services)
      expect(await grpcurl([], 'describe', service)).toContain(`${service} is a service:`);
  });

  test('describes the storage service as the contract has it, streams included', async () => {
    const text = await grpcurl([], 'describe', SERVICE);
    const rpcs = [...text.matchAll(/^ +rpc (\w+) \( (.*) \) returns \( (.*) \);$/gm)].map(([, ...rpc]) =>
      rpc.join(' '),
    );
    expect(rpcs.map((rpc) => rpc.replaceAll('.optistore.v1.', ''))).toEqual([
      'AbortUpload AbortUploadRequest AbortUploadResponse',
      'CopyResult CopyResultRequest stream CopyResultResponse',
      'DeleteResult DeleteResultRequest DeleteResultResponse',
      'DeleteResultSet DeleteResultSetRequest DeleteResultSetResponse',
      'GetResult GetResultRequest GetResultResponse',
      'GetStatus GetStatusRequest GetStatusResponse',
      'ListResults ListResultsRequest ListResultsResponse',
      'ListUploads ListUploadsRequest ListUploadsResponse',
      'LoadResult LoadResultRequest stream LoadResultResponse',
      'MigrateResult MigrateResultRequest stream MigrateResultResponse',
      'MigrateStore MigrateStoreRequest stream MigrateStoreResponse',
      'PutResultSet PutResultSetRequest PutResultSetResponse',
      'ReplicateResults ReplicateResultsRequest stream ReplicateResultsResponse',
      'SaveResult stream SaveResultRequest stream SaveResultResponse',
      'UpdateResult UpdateResultRequest UpdateResultResponse',
      'VerifyResults VerifyResultsRequest stream VerifyResultsResponse',
      'WatchResults WatchResultsRequest stream WatchResultsResponse',
    ]);
  });

  test('describes messages, with what is optional, a map, or of another file', async () => {
    expect(await grpcurl([], 'describe', 'optistore.v1.SaveOpen')).toBe(`optistore.v1.SaveOpen is a message:
message SaveOpen {
  string key = 1;
  string upload_id = 2;
  .optistore.v1.Problem problem = 3;
  map<string, string> tags = 4;
  .google.protobuf.Struct attributes = 5;
  optional uint64 expected_revision = 6;
  string description = 7;
  .optistore.v1.ReplicationMode replication = 8;
  .optistore.v1.Backend to_backend = 9;
  bool append = 10;
}
`);
    expect(await grpcurl([], 'describe', 'optistore.v1.RowBatch')).toContain('optional fixed32 crc32 = 4;');
    expect(await grpcurl([], 'describe', 'google.rpc.ErrorInfo')).toContain('string reason = 1;');
  });

  test('asks how the daemon is', async () => {
    expect(await call(`${SERVICE}/GetStatus`, '{}')).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      backends: [
        { role: 'BACKEND_PRIMARY', type: 'leveldb', state: 'BACKEND_STATE_READY' },
        { role: 'BACKEND_CACHE', type: 'memory' },
      ],
    });
  });

  test('saves rows, lists the result, and loads it', async () => {
    const key = `grpcurl/${door}`;
    const variable = { name: 'n', role: 'VARIABLE_ROLE_OBSERVABLE', valueType: 'VALUE_TYPE_INT64' };
    const values = Buffer.from(BigInt64Array.of(7n, -7n).buffer).toString('base64');
    const messages = [
      { open: { key, problem: { variables: [variable] }, tags: { by: 'grpcurl' } } },
      { batch: { rowCount: 2, columns: [{ int64Values: values }] } },
      { commit: { rowCount: 2 } },
    ];
    const result = { key, revision: '1', rowCount: '2', tags: { by: 'grpcurl' }, state: 'RESULT_STATE_COMMITTED' };
    const stream = messages.map((message) => JSON.stringify(message)).join('\n');
    expect(await grpcurl(['-d', stream], `${SERVICE}/SaveResult`)).toContain('"committed"');
    expect(await call(`${SERVICE}/ListResults`, JSON.stringify({ prefix: key }))).toMatchObject({
      results: [result],
      nextPageToken: '',
    });
    expect(await grpcurl(['-d', JSON.stringify({ key })], `${SERVICE}/LoadResult`)).toContain(values);
  });

  test('shows why a call failed', async () => {
    const errorInfo = { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', domain: 'optistore' };
    expect(await statusOf(`${SERVICE}/GetResult`, { key: 'not/there' })).toMatchObject({
      code: 5,
      message: expect.stringContaining('not/there') as string,
      details: [{ ...errorInfo, reason: 'RESULT_NOT_FOUND' }],
    });
    expect(await statusOf(`${SERVICE}/GetResult`, { key: '/' })).toMatchObject({
      code: 3,
      details: [{ ...errorInfo, reason: 'KEY_INVALID' }],
    });
  });

  test.each(['', SERVICE])('hears that %j is healthy, by reflection', async (service) => {
    expect(await call('grpc.health.v1.Health/Check', JSON.stringify({ service }))).toEqual({ status: 'SERVING' });
  });

  test.each(['', SERVICE])('hears that %j is healthy, by the .proto file of gRPC', async (service) => {
    const file = ['-import-path', dirname(healthProto), '-proto', basename(healthProto)];
    const answer = await call('grpc.health.v1.Health/Check', JSON.stringify({ service }), ...file);
    expect(answer).toEqual({ status: 'SERVING' });
  });
});
