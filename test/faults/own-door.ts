import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pino } from 'pino';
import type { ManagerConfig } from '../../server/manager/compose.js';
import { createStorageManager, type StorageManager } from '../../server/manager/storage-manager.js';
import { authorized } from '../../server/rpc/access/authorized.js';
import type { Tokens } from '../../server/rpc/access/tokens.js';
import type { Certificates } from '../../server/rpc/doors/certificates.js';
import type { DoorLimits } from '../../server/rpc/doors/door.js';
import { openGrpcDoor } from '../../server/rpc/doors/grpc.js';
import { openWebDoor } from '../../server/rpc/doors/web.js';
import { createStorageService } from '../../server/rpc/storage-service.js';

/** How doors in this process are made: with limits so short that a test can wait for them. */
export interface OwnDoorOptions extends DoorLimits {
  readonly streamIdleTimeoutMs?: number;
  /** Who is let in. Default: everybody. */
  readonly tokens?: Tokens;
  /** Of the web port. Default: none, and so HTTP/1.1 alone. */
  readonly certificates?: Certificates;
  /** Default: LevelDB. */
  readonly primary?: NonNullable<ManagerConfig['primary']>;
}

/** Doors in this process, on a store of their own. */
export interface OwnDoor extends AsyncDisposable {
  /** Where gRPC is served. */
  readonly address: string;
  /** Where the web is. */
  readonly web: string;
  readonly manager: StorageManager;
}

const PAGE = pathToFileURL('dist/web/');

/** Opens both doors. */
export async function openOwnDoor({ tokens, primary, ...options }: OwnDoorOptions): Promise<OwnDoor> {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-test-'));
  const manager = await createStorageManager({ primary: primary ?? { type: 'leveldb', path: join(folder, 'data') } });
  const streamIdleTimeoutMs = options.streamIdleTimeoutMs ?? 600_000;
  const service = createStorageService(manager, { version: 'test', startTime: new Date(), streamIdleTimeoutMs });
  const handlers = tokens === undefined ? service : authorized(service, manager, tokens);
  const log = pino({ level: 'silent' });
  const shared = { ...options, handlers, listen: '127.0.0.1:0', log, streamIdleTimeoutMs };
  const grpc = await openGrpcDoor({ ...shared, certificates: undefined });
  const web = await openWebDoor({ ...shared, hosts: [], grpcAddress: grpc.address, pageFolder: PAGE });
  return {
    address: grpc.address,
    web: web.address,
    manager,
    async [Symbol.asyncDispose]() {
      await Promise.all([grpc.drain(), web.drain()]);
      await manager[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
