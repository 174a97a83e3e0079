import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toJson, type JsonObject } from '@bufbuild/protobuf';
import { parse } from 'csv-parse/sync';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { ResultSchema } from '../../proto/gen/optistore/v1/result_pb.js';
import { MAIN, TestDaemon } from '../rpc/wire.js';

/** How a command ended. */
export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where and with what a command runs. */
export interface Surroundings {
  readonly cwd?: string;
  /** Beside the variables of this process; its OPTISTORE_… are not passed on. */
  readonly env?: Readonly<Record<string, string>>;
}

const PATIENCE_MS = 30_000;

/** The command line in a process of its own, with its standard input open. */
export class Running implements AsyncDisposable {
  stdout = '';
  stderr = '';
  private readonly closed: Promise<unknown>;
  private wasKilled = false;

  private constructor(private readonly child: ChildProcessWithoutNullStreams) {
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    // A command that has ended reads no more: how it ended is what counts.
    child.stdin.on('error', () => undefined);
    this.closed = once(child, 'close');
  }

  static start(args: readonly string[], surroundings: Surroundings = {}, command = process.execPath): Running {
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('OPTISTORE_'));
    const env = { ...Object.fromEntries(own), ...surroundings.env };
    const { cwd } = surroundings;
    return new Running(spawn(command, args, { env, ...(cwd === undefined ? {} : { cwd }) }));
  }

  /** Prints to its standard input, as a solver does. */
  print(text: string | Uint8Array): void {
    this.child.stdin.write(text);
  }

  closeInput(): void {
    this.child.stdin.end();
  }

  /** Closes the pipe that it prints to, as `head` does. */
  closeOutput(): void {
    this.child.stdout.destroy();
  }

  /** Waits for its end; ends it by force, and fails, where that does not come by itself. */
  async ended(): Promise<Ended> {
    const overdue = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE_MS);
    await this.closed;
    clearTimeout(overdue);
    if (this.child.signalCode === 'SIGKILL' && !this.wasKilled)
      throw new Error(`the command did not end; it printed ${this.stdout}${this.stderr}`);
    return { code: this.child.exitCode, stdout: this.stdout, stderr: this.stderr };
  }

  stop(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<Ended> {
    this.wasKilled ||= signal === 'SIGKILL';
    this.child.kill(signal);
    return this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.closed;
  }
}

/** Starts the built `optistore`. */
export function start(args: readonly string[], surroundings?: Surroundings): Running {
  return Running.start([MAIN, ...args], surroundings);
}

/** Runs the built `optistore` to its end, with nothing on its standard input. */
export async function run(args: readonly string[], surroundings?: Surroundings): Promise<Ended> {
  const running = start(args, surroundings);
  running.closeInput();
  return await running.ended();
}

/** Waits until a question has the answer that is hoped for, or yes; fails with the last answer. */
export async function until<Answer>(
  ask: () => Answer | Promise<Answer>,
  isHoped: (answer: Answer) => boolean = Boolean,
) {
  const giveUp = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (isHoped(answer)) return answer;
    if (Date.now() > giveUp) throw new Error(`waited in vain; the last answer was ${JSON.stringify(answer)}`);
    await sleep(50);
  }
}

/** A temporary folder, gone at the end. */
export class Folder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async make(): Promise<Folder> {
    return new Folder(await mkdtemp(join(tmpdir(), 'optistore-cli-')));
  }

  at(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file; gives its path. */
  async file(name: string, content: string | object): Promise<string> {
    await writeFile(this.at(name), typeof content === 'string' ? content : JSON.stringify(content));
    return this.at(name);
  }

  read(name: string): Promise<string> {
    return readFile(this.at(name), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** A daemon, a folder for files, and the command line pointed at the daemon. */
export class Bench implements AsyncDisposable {
  /** For what is not about the command line: a command is a process, and takes a third of a second. */
  readonly client: OptistoreClient;

  private constructor(
    readonly daemon: TestDaemon,
    readonly folder: Folder,
  ) {
    this.client = createClient({ address: daemon.address });
  }

  /** `flags` of the daemon may name files in the folder. */
  static async start(flags: (folder: Folder) => readonly string[] = () => []): Promise<Bench> {
    const folder = await Folder.make();
    return new Bench(await TestDaemon.start(...flags(folder)), folder);
  }

  run(...args: string[]): Promise<Ended> {
    return run([...args, '--server', this.daemon.address]);
  }

  start(...args: string[]): Running {
    return start([...args, '--server', this.daemon.address]);
  }

  /** Starts a command in a terminal of so many columns, after a line `pid NUMBER`; what it prints anywhere is on standard output. */
  inTerminal(columns: number, ...args: string[]): Running {
    const command = `stty cols ${columns} rows 20; echo pid $$; exec ${process.execPath} ${MAIN} ${args.join(' ')} --server ${this.daemon.address}`;
    return Running.start(['-qec', command, '/dev/null'], { env: { TERM: 'xterm', NO_COLOR: '1' } }, 'script');
  }

  /** Runs a command that has to succeed without a word on standard error; gives what it printed. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code !== 0 || stderr !== '') throw new Error(`optistore ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  }

  async json(...args: string[]): Promise<JsonObject> {
    return JSON.parse(await this.ok(...args, '--json')) as JsonObject;
  }

  /** Saves a table of CSV under a key. */
  async save(key: string, csv: string, problem: object, ...flags: string[]): Promise<string> {
    const table = await this.folder.file('in.csv', csv);
    return await this.ok('save', key, table, '--problem', await this.folder.file('problem.json', problem), ...flags);
  }

  /** What is stored under a key, as `show --json` prints it. */
  async stored(key: string): Promise<JsonObject> {
    return toJson(ResultSchema, await this.client.getResult(key)) as JsonObject;
  }

  /** Uploads in progress, by id, with their durable rows. */
  async uploads(): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    for await (const upload of this.client.listUploads()) found[upload.uploadId] = Number(upload.durableRowCount);
    return found;
  }

  /** Waits until an upload has at least so many durable rows; gives all uploads as they are then. */
  durable(id: string, atLeast: number): Promise<Record<string, number>> {
    return until(
      () => this.uploads(),
      (uploads) => (uploads[id] ?? -1) >= atLeast,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.daemon[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** A problem in protobuf JSON: all observables; name to `FLOAT64`, `INT64`, `BOOL` or `STRING`, in order. */
export function problemOf(...variables: readonly (readonly [name: string, type: string])[]) {
  return {
    name: 'test',
    variables: variables.map(([name, type]) => ({
      name,
      role: 'VARIABLE_ROLE_OBSERVABLE',
      valueType: `VALUE_TYPE_${type}`,
    })),
  };
}

/** CSV as rows of text, read by a library of its own accord: quotes and newlines resolved, the head first. */
export function csvOf(text: string): string[][] {
  return parse(text, { record_delimiter: '\n', relax_column_count: true });
}

/** The 64 bits of a double; all NaN are one, since text has no more. */
export function bitsOf(value: number): bigint {
  return new BigUint64Array(Float64Array.of(Number.isNaN(value) ? NaN : value).buffer)[0] ?? 0n;
}

/** The double that a cell of CSV stands for. */
export function doubleOf(cell: string | undefined): number {
  if (cell === 'inf') return Infinity;
  if (cell === '-inf') return -Infinity;
  if (cell === 'NaN') return NaN;
  const value = Number(cell);
  // An empty cell is 0 to Number, and anything else NaN: both would hide a loss.
  if (cell === undefined || cell === '' || Number.isNaN(value)) throw new Error(`${cell} is no double`);
  return value;
}
