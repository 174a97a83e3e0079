import { loadPackageDefinition, credentials, type Client, type ClientReadableStream } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { expect, test } from 'vitest';
import { StorageService } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { TestDaemon } from './wire.js';

type Health = Client & {
  check(request: object, done: (error: { code: number } | null, answer?: { status: string }) => void): void;
  list(request: object, done: (error: Error | null, answer?: { statuses: object }) => void): void;
  watch(request: object): ClientReadableStream<{ status: string }>;
};

function healthOf(daemon: TestDaemon): Health {
  const { Health } = loadPackageDefinition({ Health: healthService });
  return new (Health as unknown as new (address: string, plain: object) => Health)(
    daemon.address,
    credentials.createInsecure(),
  );
}

test('health is told of the server and its service, and of no other', async () => {
  await using daemon = await TestDaemon.start();
  const health = healthOf(daemon);
  const asked = (service: string) =>
    new Promise((resolve) => health.check({ service }, (error, answer) => resolve(error?.code ?? answer?.status)));
  expect(await Promise.all(['', StorageService.typeName, 'other'].map(asked))).toEqual(['SERVING', 'SERVING', 5]);
  const all = await new Promise((resolve) => health.list({}, (error, answer) => resolve(error ?? answer?.statuses)));
  expect(all).toEqual({ '': { status: 'SERVING' }, [StorageService.typeName]: { status: 'SERVING' } });
  health.close();
});

test('who watches the health hears that the daemon drains', async () => {
  await using daemon = await TestDaemon.start();
  const health = healthOf(daemon);
  const watched = health.watch({ service: StorageService.typeName });
  // The daemon ends, and the stream with it.
  watched.on('error', () => undefined);
  const heard: string[] = [];
  const first = new Promise<void>((resolve) => {
    watched.on('data', ({ status }: { status: string }) => {
      heard.push(status);
      resolve();
    });
  });
  await first;
  expect(heard).toEqual(['SERVING']);
  await daemon.process.stop('SIGTERM');
  expect(heard).toEqual(['SERVING', 'NOT_SERVING']);
  health.close();
});
