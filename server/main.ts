import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { pino, type Logger } from 'pino';
import { loggable, readConfig, type Config, type Settings } from './config.js';
import { createStorageManager } from './manager/storage-manager.js';
import type { Door } from './rpc/doors/door.js';
import { openGrpcDoor } from './rpc/doors/grpc.js';
import { openWebDoor, type WebDoor } from './rpc/doors/web.js';
import type { StorageServiceHandlers } from './rpc/service.js';
import { createStorageService } from './rpc/storage-service.js';

/** The version in package.json, which lies two folders above the built file and one above the source. */
function packageVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string };
      return version;
    } catch {
      continue;
    }
  }
  return 'unknown';
}

/**
 * Runs the daemon until SIGTERM or SIGINT; resolves when everything is synced and closed. A second signal exits at
 * once with 1. Fails with ConfigError, or StorageError such as BACKEND_LOCKED.
 */
export async function serve(flags: Settings, configFile: string | undefined): Promise<void> {
  const config = readConfig(flags, configFile, process.env);
  const log = pino({ level: config.log_level }, pino.destination({ fd: 2, sync: true }));
  await using manager = await createStorageManager({
    ...config,
    upload_ttl_ms: config.upload_ttl,
    scrub_interval_ms: config.scrub_interval === 'off' ? undefined : config.scrub_interval,
    onFault: ({ key, role, state, message }) => log.warn({ key, role, state, fault: message }, 'a copy does not check'),
  });
  const handlers = createStorageService(manager, {
    version: packageVersion(),
    startTime: new Date(),
    streamIdleTimeoutMs: config.stream_idle_timeout,
  });
  const doors = await openDoors(config, handlers, log);
  const stores = {
    store: loggable(config.primary),
    ...(config.secondary && { secondary: loggable(config.secondary) }),
  };
  log.info({ grpc: doors.grpc.address, web: doors.web?.address, socket: config.socket, ...stores }, 'serving');

  const signal = await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => process.exit(1));
  log.info({ signal: String(signal[0]) }, 'draining');
  await Promise.all([doors.grpc.drain(), doors.web?.drain()]);
}

/** Opens both doors, or none. */
async function openDoors(
  { listen, socket, web, web_hosts: hosts, stream_idle_timeout: streamIdleTimeoutMs }: Config,
  handlers: StorageServiceHandlers,
  log: Logger,
): Promise<{ grpc: Door; web?: WebDoor }> {
  const grpc = await openGrpcDoor({
    ...{ handlers, listen, log, streamIdleTimeoutMs },
    ...(socket === undefined ? {} : { socket }),
  });
  if (web === 'off') return { grpc };
  try {
    return { grpc, web: await openWebDoor({ handlers, listen: web, hosts, grpcAddress: grpc.address, log }) };
  } catch (error) {
    await grpc.drain();
    throw error;
  }
}
