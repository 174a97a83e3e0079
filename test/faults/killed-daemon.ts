import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '@bufbuild/protobuf';
import { DaemonProcess } from '../../clients/cli/daemon-process.js';
import { type PostgresServer } from '../backends/postgres.js';
import { MAIN } from '../rpc/wire.js';
import { KillSwitch } from './shim/faulty-daemon.js';

/** A durable store as campaigns name it, and how a daemon is told of one in a folder. */
export interface DurableStore {
  readonly name: string;
  readonly settings: (folder: string) => Promise<JsonObject> | JsonObject;
}

/** Stores of files. */
export const FILE_STORES = [
  { name: 'leveldb', settings: (folder: string) => ({ type: 'leveldb', path: join(folder, 'data') }) },
  { name: 'filesystem', settings: (folder: string) => ({ type: 'filesystem', base_path: join(folder, 'data') }) },
  {
    name: 'SQLite',
    settings: (folder: string) => ({ type: 'database', connection_string: `sqlite:///${join(folder, 'data.db')}` }),
  },
] as const satisfies readonly DurableStore[];

/** A new database of a PostgreSQL server. */
export function postgresStore(server: () => PostgresServer): DurableStore {
  const settings = async () => ({ type: 'database', connection_string: await server().createDatabase() });
  return { name: 'PostgreSQL', settings };
}

/** A daemon that is killed again and again, on stores that stay; all is gone at the end. */
export class KilledDaemon implements AsyncDisposable {
  private process: DaemonProcess | undefined;
  private latest: string | undefined;
  /** How long it took to start, last time. */
  private startMs = 1000;

  private constructor(readonly folder: string) {}

  /** Does not start it yet. */
  static async create(settings: (folder: string) => Promise<JsonObject> | JsonObject): Promise<KilledDaemon> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-kill-'));
    const daemon = new KilledDaemon(folder);
    // JSON is YAML too.
    await writeFile(daemon.configFile, JSON.stringify(await settings(folder)));
    return daemon;
  }

  private get configFile(): string {
    return join(this.folder, 'optistore.yaml');
  }

  /** Of the process that runs now, or of the one that is to come, where that has it too. */
  get address(): string {
    if (this.latest === undefined) throw new Error('the daemon was never started');
    return this.latest;
  }

  /** Starts it, on another port or on the one it had; resolves when it serves. */
  async start(listen = '127.0.0.1:0'): Promise<void> {
    const began = performance.now();
    this.process = await DaemonProcess.start(['--config', this.configFile, '--listen', listen], MAIN);
    this.latest = this.process.address;
    this.startMs = performance.now() - began;
  }

  async kill(): Promise<void> {
    await this.process?.stop('SIGKILL');
    this.process = undefined;
  }

  /** Stops it as it is meant to be. */
  async stop(): Promise<void> {
    await this.process?.stop('SIGTERM');
    this.process = undefined;
  }

  /** Starts it and kills it at a moment of its start, given from 0 to 1. */
  async startAndKill(moment: number): Promise<void> {
    const flags = ['serve', '--config', this.configFile, '--listen', '127.0.0.1:0'];
    const child = spawn(process.execPath, [MAIN, ...flags], { stdio: 'ignore' });
    const ended = once(child, 'close');
    await sleep(moment * this.startMs);
    child.kill('SIGKILL');
    await ended;
  }

  /** Starts it and kills it in place of one of its calls on its files, or as it serves; gives how many calls there were. */
  async startAndKillAt(nthCall: number): Promise<number> {
    using killer = new KillSwitch(`${this.folder}.control`);
    killer.set(nthCall);
    const flags = ['--config', this.configFile, '--listen', '127.0.0.1:0'];
    try {
      const started = await DaemonProcess.start(flags, MAIN, await killer.environment(this.folder));
      await started.stop('SIGKILL');
    } catch (error) {
      // Without an exit code: it was killed.
      if (!(error instanceof Error) || !error.message.startsWith('the daemon ended with null')) throw error;
    }
    return killer.count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
