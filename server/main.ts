import { stat } from 'node:fs/promises';
import { once } from 'node:events';
import { pino, type Logger } from 'pino';
import { parseConnectionString } from './backends/database/connection-string.js';
import { loggable, readConfig, type Config, type Settings } from './config.js';
import { LOG_BYTES_MAX, LOG_CHUNK_BYTES, LOG_DELAY_MS } from './limits.js';
import { createStorageManager, type StorageManager } from './manager/storage-manager.js';
import { authorized } from './rpc/access/authorized.js';
import { Tokens } from './rpc/access/tokens.js';
import { packageVersion } from './version.js';
import { Certificates } from './rpc/doors/certificates.js';
import type { Door } from './rpc/doors/door.js';
import { openGrpcDoor } from './rpc/doors/grpc.js';
import { createStorageService } from './rpc/storage-service.js';

/**
 * Runs the daemon until SIGTERM or SIGINT; resolves when everything is synced and closed. A second signal exits at
 * once with 1. Fails with ConfigError, or StorageError such as BACKEND_LOCKED.
 */
export async function serve(flags: Settings, configFile: string | undefined): Promise<void> {
  // SQLite and LevelDB make files that every user of the machine may read, where the process doesn't say otherwise.
  process.umask(0o077);
  const config = readConfig(flags, configFile, process.env);
  // Who reads the log slowly, or not at all, must not hold up a call: what waits for them is bounded, and written when the process ends.
  const logged = {
    fd: 2,
    sync: false,
    minLength: LOG_CHUNK_BYTES,
    periodicFlush: LOG_DELAY_MS,
    maxLength: LOG_BYTES_MAX,
  };
  const log = pino({ level: config.log_level }, pino.destination(logged));
  using access = new Access(config, log);
  const reload = () => access.reload();
  // Without someone who listens the signal would end the daemon: also while it opens its stores.
  process.on('SIGHUP', reload);
  await using manager = await createStorageManager({
    ...config,
    upload_ttl_ms: config.upload_ttl,
    scrub_interval_ms: config.scrub_interval === 'off' ? undefined : config.scrub_interval,
    onFault: ({ key, role, state, message }) => log.warn({ key, role, state, fault: message }, 'a copy does not check'),
  });
  const doors = await openDoors(config, manager, access, log);
  const stores = {
    store: loggable(config.primary),
    ...(config.secondary && { secondary: loggable(config.secondary) }),
  };
  const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  log.info({ grpc: doors.grpc.address, web: doors.web?.address, socket: config.socket, ...stores }, 'serving');
  // Who has started it waits for that line.
  log.flush();
  void warnOfStores(manager, log);
  void warnOfOpenFiles(config, log);

  const signal = await stopped;
  for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => process.exit(1));
  log.info({ signal: String(signal[0]) }, 'draining');
  await Promise.all(doors.opened.map((door) => door.drain()));
  process.off('SIGHUP', reload);
}

/** Says at the start which stores do not do all that they should. */
async function warnOfStores(manager: StorageManager, log: Logger): Promise<void> {
  // Whoever asks for the status is told, where it can't be asked for now.
  const status = await manager.status(new AbortController().signal).catch(() => undefined);
  for (const { role, failure } of status?.stores ?? [])
    if (failure !== undefined) log.warn({ role, failure }, 'a store does not do all that it should');
}

/** Says which SQLite files every user can read: of an earlier version, or since someone wants it so, and then it stays. */
async function warnOfOpenFiles({ primary, secondary }: Config, log: Logger): Promise<void> {
  for (const store of [primary, secondary]) {
    const address = store?.type === 'database' ? parseConnectionString(store.connection_string) : undefined;
    if (address?.dialect !== 'sqlite' || address.file === undefined) continue;
    const { file } = address;
    const mode = (await stat(file).catch(() => undefined))?.mode ?? 0;
    if ((mode & 0o007) === 0) continue;
    const advice = `every user of this machine can read the database; if that is not meant: chmod 600 ${file} ${file}-wal ${file}-shm`;
    log.warn({ file }, advice);
  }
}

/** Opens all doors, or none; each has its own way to tell who calls. */
async function openDoors(config: Config, manager: StorageManager, access: Access, log: Logger): Promise<OpenDoors> {
  const { listen, socket, web, web_hosts: hosts, stream_idle_timeout: streamIdleTimeoutMs } = config;
  const own = createStorageService(manager, {
    version: packageVersion(),
    startTime: new Date(),
    streamIdleTimeoutMs,
  });
  const { tokens, certificates } = access;
  const handlers = tokens === undefined ? own : authorized(own, manager, tokens);
  const grpc = await openGrpcDoor({ handlers, listen, certificates, log, streamIdleTimeoutMs });
  const opened: Door[] = [grpc];
  try {
    // Who can open the socket is the user that the daemon runs as, and needs no token.
    if (socket !== undefined)
      opened.push(await openGrpcDoor({ handlers: own, listen: `unix:${socket}`, log, streamIdleTimeoutMs }));
    if (web === 'off') return { grpc, web: undefined, opened };
    // Connect is what only this door needs, and most daemons have none.
    const { openWebDoor } = await import('./rpc/doors/web.js');
    const webDoor = await openWebDoor({
      ...{ handlers, listen: web, hosts, grpcAddress: grpc.address, certificates, log, streamIdleTimeoutMs },
      pageFolder: new URL('../web/', import.meta.url),
    });
    return { grpc, web: webDoor, opened: [...opened, webDoor] };
  } catch (error) {
    await Promise.all(opened.map((door) => door.drain()));
    throw error;
  }
}

interface OpenDoors {
  readonly grpc: Door;
  readonly web: Door | undefined;
  readonly opened: readonly Door[];
}

/** Who is let in, and by what they know the daemon. */
class Access implements Disposable {
  readonly certificates: Certificates | undefined;
  readonly tokens: Tokens | undefined;

  constructor(
    { tls_cert: cert, tls_key: key, tls_client_ca: clientCa, tokens }: Config,
    private readonly log: Logger,
  ) {
    if (cert !== undefined && key !== undefined) this.certificates = new Certificates({ cert, key, clientCa });
    if (tokens === undefined) return;
    this.tokens = new Tokens(tokens, (error) => log.error({ err: error }, 'the tokens stay as they were'));
    if (this.tokens.count === 0) log.warn({ tokens }, 'no token yet: `optistore token create` makes one');
  }

  /** Reads certificates and tokens again, and says of each whether it could; what can't be used changes nothing. */
  reload(): void {
    if (this.tokens?.reload()) this.log.info({ tokens: this.tokens.count }, 'the tokens were read again');
    if (this.certificates !== undefined) this.reloadCertificates(this.certificates);
    if (this.tokens === undefined && this.certificates === undefined)
      this.log.info('there is nothing to read again: neither certificates nor tokens are configured');
  }

  private reloadCertificates(certificates: Certificates): void {
    try {
      certificates.reload();
      this.log.info('the certificate was read again');
    } catch (error) {
      this.log.error({ err: error }, 'the certificate stays as it was');
    }
  }

  [Symbol.dispose](): void {
    this.tokens?.[Symbol.dispose]();
  }
}
