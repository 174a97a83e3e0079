import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { pino } from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { VerifyResultsResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { openGrpcDoor } from '../../server/rpc/doors/grpc.js';
import type { CallContext, StorageServiceHandlers } from '../../server/rpc/service.js';

/** A client of a daemon that verifies so many results, and the signals of the calls that it was given. */
async function verifying(count: number) {
  const signals: AbortSignal[] = [];
  const handlers = {
    async *verifyResults(_: unknown, { signal }: CallContext) {
      signals.push(signal);
      for (let i = 0; i < count && !signal.aborted; i++) yield await answer();
    },
  } as unknown as StorageServiceHandlers;
  const answer = () => Promise.resolve(create(VerifyResultsResponseSchema));
  const log = pino({ level: 'silent' });
  const door = await openGrpcDoor({ handlers, listen: '127.0.0.1:0', log, streamIdleTimeoutMs: 60_000 });
  const client = createClient({ address: door.address });
  onTestFinished(async () => {
    client.close();
    await door.drain();
  });
  return { client, signals };
}

test('the signal of a stream that was answered whole is not aborted: nobody is left to be told', async () => {
  const { client, signals } = await verifying(3);
  let count = 0;
  for await (const { $typeName } of client.verifyResults()) if ($typeName !== undefined) count++;
  expect(count).toBe(3);
  // What ends a stream at the server comes a moment later.
  await sleep(50);
  expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
});

test('that of a stream which the client leaves is', async () => {
  const { client, signals } = await verifying(Infinity);
  const answers = client.verifyResults()[Symbol.asyncIterator]();
  await answers.next();
  await answers.return?.();
  await vi.waitFor(() => expect(signals.map(({ aborted }) => aborted)).toEqual([true]));
});
