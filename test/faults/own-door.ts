import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { createStorageManager } from '../../server/manager/storage-manager.js';
import { openGrpcDoor, type GrpcDoorOptions } from '../../server/rpc/doors/grpc.js';
import { createStorageService } from '../../server/rpc/storage-service.js';

/** A door in this process, on a store of its own, whose limits are so short that a test can wait for them. */
export async function openOwnDoor(
  limits: Partial<Pick<GrpcDoorOptions, 'streamIdleTimeoutMs' | 'connectionSilenceMs' | 'requestMsMax'>>,
): Promise<AsyncDisposable & { readonly address: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-test-'));
  const manager = await createStorageManager({ primary: { type: 'leveldb', path: join(folder, 'data') } });
  const streamIdleTimeoutMs = limits.streamIdleTimeoutMs ?? 600_000;
  const door = await openGrpcDoor({
    handlers: createStorageService(manager, { version: 'test', startTime: new Date(), streamIdleTimeoutMs }),
    ...{ listen: '127.0.0.1:0', log: pino({ level: 'silent' }), ...limits, streamIdleTimeoutMs },
  });
  return {
    address: door.address,
    async [Symbol.asyncDispose]() {
      await door.drain();
      await manager[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
