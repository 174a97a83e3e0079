import { execFile } from 'node:child_process';
import { closeSync, openSync, readSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { JsonObject } from '@bufbuild/protobuf';
import { DaemonProcess } from '../../../clients/cli/daemon-process.js';
import type { BackendConfig } from '../../../server/backends/open-backend.js';
import { MAIN } from '../../rpc/wire.js';

const SOURCE = resolve('test/faults/shim/faulty-files.c');
let compiled: Promise<string> | undefined;

/** The library that stands between a daemon and its files, compiled when it is first asked for. */
function faultyFiles(): Promise<string> {
  compiled ??= (async () => {
    await mkdir(resolve('dist'), { recursive: true });
    const library = resolve('dist', `faulty-files-${process.pid}.so`);
    try {
      await promisify(execFile)('gcc', ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl']);
    } catch (error) {
      throw new Error('These tests compile test/faults/shim/faulty-files.c with gcc, which failed: install gcc.', {
        cause: error,
      });
    }
    // Test files may run at the same time: each puts the same library in place, whole.
    const shared = resolve('dist', 'faulty-files.so');
    await rename(library, shared);
    return shared;
  })();
  return compiled;
}

/** Classes of calls, by their numbers in faulty-files.c. */
export const CallClass = {
  open: 1,
  write: 2,
  sync: 3,
  rename: 4,
  link: 5,
  unlink: 6,
  mkdir: 7,
  read: 8,
  truncate: 9,
} as const;

/** Kinds of calls that can be made to fail. */
export type CallName = keyof typeof CallClass;

/** Errors of system calls, by number; `kill`: the process is killed in place of the call. */
export const Errno = { shortWrite: 0, EIO: 5, EMFILE: 24, ENOSPC: 28, kill: 65_535 } as const;

const CONTROL_BYTES = 20 * 4;
const ANY_CALL = 255;

/** Kills a daemon at one of its calls on files; the control file is gone at the end. */
export class KillSwitch implements Disposable {
  private readonly control: number;

  constructor(private readonly path: string) {
    writeFileSync(path, Buffer.alloc(CONTROL_BYTES));
    this.control = openSync(path, 'r+');
  }

  /** What a daemon is started with, so that its calls on files below a folder are counted. */
  async environment(root: string): Promise<Record<string, string>> {
    return { LD_PRELOAD: await faultyFiles(), FAULTY_ROOT: root, FAULTY_CONTROL: this.path };
  }

  /** The Nth call from now on is the last; 0: none is. */
  set(nth: number): void {
    writeSync(this.control, new Uint8Array(Uint32Array.of(ANY_CALL, nth, Errno.kill, 0).buffer), 0, 16, 0);
  }

  /** How many calls there were. */
  get count(): number {
    const words = new Uint32Array(CONTROL_BYTES / 4);
    readSync(this.control, new Uint8Array(words.buffer), 0, CONTROL_BYTES, 0);
    return words.subarray(4).reduce((sum, count) => sum + count, 0);
  }

  [Symbol.dispose](): void {
    closeSync(this.control);
    rmSync(this.path, { force: true });
  }
}

/** A daemon whose calls on files are written down, and fail where a test says so. */
export class FaultyDaemon implements AsyncDisposable {
  private constructor(
    readonly folder: string,
    public process: DaemonProcess,
    private readonly control: number,
  ) {}

  /** Starts the built daemon with settings that get the folder of the store; it is gone at the end. */
  static async start(settings: (folder: string) => JsonObject): Promise<FaultyDaemon> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-faulty-'));
    await mkdir(join(folder, 'disk'));
    await writeFile(join(folder, 'control'), Buffer.alloc(CONTROL_BYTES));
    const config = { listen: '127.0.0.1:0', ...settings(join(folder, 'disk')) };
    await writeFile(join(folder, 'optistore.yaml'), JSON.stringify(config));
    return new FaultyDaemon(folder, await launch(folder), openSync(join(folder, 'control'), 'r+'));
  }

  get address(): string {
    return this.process.address;
  }

  /** Where its stores are. */
  get disk(): string {
    return join(this.folder, 'disk');
  }

  /** The log of its calls. */
  get log(): string {
    return join(this.folder, 'log');
  }

  /** How long the log is now: what comes later lies behind. */
  get logLength(): number {
    return statSync(this.log).size;
  }

  /** Kills it, and starts it again on the same files; nothing fails then. */
  async restart(): Promise<void> {
    await this.process.stop('SIGKILL');
    this.disarm();
    await this.start();
  }

  /** Starts it again when it has ended; what was made to fail does. */
  async start(): Promise<void> {
    this.process = await launch(this.folder);
  }

  /** Makes the Nth call of a class from now on fail, once; 1 is the next. */
  failNth(call: CallName, nth: number, error: number): void {
    const words = Uint32Array.of(CallClass[call], nth, error, 0);
    writeSync(this.control, new Uint8Array(words.buffer), 0, 16, 0);
  }

  /** No call fails any more; says whether one did. */
  disarm(): boolean {
    const words = new Uint32Array(4);
    readSync(this.control, new Uint8Array(words.buffer), 0, 16, 0);
    writeSync(this.control, new Uint8Array(16), 0, 16, 0);
    return words[3] !== 0;
  }

  /** How many calls of a class there were since it started first. */
  count(call: CallName): number {
    const words = new Uint32Array(1);
    readSync(this.control, new Uint8Array(words.buffer), 0, 4, 16 + CallClass[call] * 4);
    return words[0] ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop('SIGKILL');
    closeSync(this.control);
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function launch(folder: string): Promise<DaemonProcess> {
  return DaemonProcess.start(['--config', join(folder, 'optistore.yaml')], MAIN, {
    LD_PRELOAD: await faultyFiles(),
    FAULTY_ROOT: join(folder, 'disk'),
    FAULTY_LOG: join(folder, 'log'),
    FAULTY_CONTROL: join(folder, 'control'),
  });
}

/** The stores that keep files, each in a folder. */
export const STORES_IN_FILES = {
  leveldb: (folder: string): BackendConfig => ({ type: 'leveldb', path: join(folder, 'data') }),
  filesystem: (folder: string): BackendConfig => ({ type: 'filesystem', base_path: join(folder, 'data') }),
  SQLite: (folder: string): BackendConfig => ({
    type: 'database',
    connection_string: `sqlite:///${join(folder, 'data.db')}`,
  }),
} as const;
