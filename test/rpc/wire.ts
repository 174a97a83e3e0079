import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import type { JsonObject, MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { afterAll } from 'vitest';
import { ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { SaveResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { SaveResultRequestSchema, StorageService } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { Channel } from '../../clients/typescript/channel.js';
import type { ConnectionOptions } from '../../clients/typescript/connection.js';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import type { OptistoreError } from '../../clients/typescript/errors.js';
import { GrpcJsLink } from '../../clients/typescript/grpc-js-link.js';
import type { SaveStream } from '../../clients/typescript/link.js';
import { DaemonProcess } from '../../clients/cli/daemon-process.js';

export const MAIN = resolve('dist/bin/optistore.js');

/** The path of an rpc. */
export function pathOf({ name }: { readonly name: string }): string {
  return `/${StorageService.typeName}/${name}`;
}

/** A daemon on a folder of its own, both gone at the end. */
export class TestDaemon implements AsyncDisposable {
  private constructor(
    readonly folder: string,
    public process: DaemonProcess,
    private readonly configFile?: string,
  ) {}

  static async start(...flags: string[]): Promise<TestDaemon> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-test-'));
    return new TestDaemon(folder, await start(folder, '127.0.0.1:0', flags));
  }

  /** With settings for its configuration file: `{ use_cache: false }`. */
  static startWith(settings: JsonObject): Promise<TestDaemon> {
    return TestDaemon.startIn(() => settings);
  }

  /** With settings that name places in its folder. */
  static async startIn(settingsIn: (folder: string) => JsonObject): Promise<TestDaemon> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-test-'));
    const file = join(folder, 'optistore.yaml');
    const primary = { type: 'leveldb', path: join(folder, 'data') };
    // JSON is YAML too.
    await writeFile(file, JSON.stringify({ primary, listen: '127.0.0.1:0', ...settingsIn(folder) }));
    return new TestDaemon(folder, await DaemonProcess.start(['--config', file], MAIN), file);
  }

  get address(): string {
    return this.process.address;
  }

  /** Starts it again on the same data and address. */
  async restart(...flags: string[]): Promise<void> {
    const { configFile, address } = this;
    this.process =
      configFile === undefined
        ? await start(this.folder, address, flags)
        : await DaemonProcess.start(['--config', configFile, '--listen', address, ...flags], MAIN);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }
}

function start(folder: string, listen: string, flags: readonly string[]): Promise<DaemonProcess> {
  return DaemonProcess.start(['--path', join(folder, 'data'), '--listen', listen, ...flags], MAIN);
}

/** Two columns: x, a float64, and label, a string. */
export const PROBLEM = create(ProblemSchema, {
  name: 'test',
  variables: [
    { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 },
    { name: 'label', role: VariableRole.OBSERVABLE, valueType: ValueType.STRING },
  ],
});

/** Waits until the clock has gone on, so that no two results have the same time. */
export async function nextMillisecond(): Promise<void> {
  const now = Date.now();
  while (Date.now() === now) await immediate();
}

/** Numbers from 0 up to 1, the same for the same seed, so that a failure can be seen again. */
export function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

type Message = MessageInitShape<typeof SaveResultRequestSchema>['message'];

/** A raw SaveResult stream, to say what no client would. */
export class RawSave {
  private readonly stream: SaveStream;
  private readonly answers: AsyncIterator<SaveResultResponse>;
  private readonly channel: Channel;

  constructor(address: string, options: ConnectionOptions = {}) {
    this.channel = new Channel(address, new GrpcJsLink(address, options));
    this.stream = this.channel.save();
    this.answers = this.stream[Symbol.asyncIterator]();
  }

  send(message: Message): this {
    this.stream.write(create(SaveResultRequestSchema, { message: message as never }));
    return this;
  }

  /** The next answer of a kind; others before it are passed over. */
  async answer<Case extends NonNullable<SaveResultResponse['message']['case']>>(
    wanted: Case,
  ): Promise<Extract<SaveResultResponse['message'], { case: Case }>['value']> {
    for (;;) {
      const next = await this.answers.next();
      if (next.done === true) throw new Error(`the stream ended without ${wanted}`);
      if (next.value.message.case === wanted) return next.value.message.value as never;
    }
  }

  /** The next answer of any kind; undefined at the end. */
  async next(): Promise<SaveResultResponse['message'] | undefined> {
    const next = await this.answers.next();
    return next.done === true ? undefined : next.value.message;
  }

  /** The error that the stream ends with. */
  async error(): Promise<OptistoreError> {
    try {
      for (;;) if ((await this.answers.next()).done === true) break;
    } catch (error) {
      return this.channel.explain(error);
    } finally {
      this.channel.close();
    }
    throw new Error('the stream ended without an error');
  }

  /** What a rejected `answer` means. */
  explain(thrown: unknown): OptistoreError {
    return this.channel.explain(thrown);
  }

  end(): void {
    this.stream.end();
  }

  /** Says that nothing more comes, and waits until the daemon has ended the stream with OK. */
  async endAndWait(): Promise<void> {
    this.stream.end();
    try {
      while ((await this.answers.next()).done !== true);
    } finally {
      this.channel.close();
    }
  }

  cancel(): void {
    this.stream.cancel();
    this.channel.close();
  }
}

/** Rows for PROBLEM, from a row on: x is the row's number. */
export function rowsFrom(firstRow: number, rowCount: number) {
  const x = Float64Array.from({ length: rowCount }, (_, i) => firstRow + i);
  const offsets = Uint32Array.from({ length: rowCount + 1 }, (_, i) => i);
  return {
    firstRow: BigInt(firstRow),
    rowCount,
    columns: [
      { values: { case: 'float64Values' as const, value: new Uint8Array(x.buffer) } },
      {
        values: {
          case: 'stringValues' as const,
          value: { offsets: new Uint8Array(offsets.buffer), utf8: new Uint8Array(rowCount).fill(97) },
        },
      },
    ],
  };
}

/** A daemon for all tests of a file, and ways to speak to it; closed behind the last test. */
export async function sharedDaemon(
  ...flags: string[]
): Promise<{ daemon: TestDaemon; client: OptistoreClient; channel: Channel }> {
  const daemon = await TestDaemon.start(...flags);
  const client = createClient({ address: daemon.address });
  const channel = new Channel(daemon.address);
  afterAll(async () => {
    client.close();
    channel.close();
    await daemon[Symbol.asyncDispose]();
  });
  return { daemon, client, channel };
}
