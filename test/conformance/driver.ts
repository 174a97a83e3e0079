import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { JsonObject } from '@bufbuild/protobuf';

/** What came of a command. */
export type Answer =
  | { readonly ok: JsonObject }
  /** What the daemon said, as the client tells it; `code` is a name such as NOT_FOUND, `reason` null where there is none. */
  | { readonly error: JsonObject & { code: string; reason: string | null; message: string } }
  /** The client refused by itself. */
  | { readonly misuse: string };

/** A client, told what to do. */
export interface Driver extends AsyncDisposable {
  /** `command` has its verb as `do`. */
  perform(command: JsonObject): Promise<Answer>;
}

/** No command takes as long: a client that hangs fails its scenario. */
const ANSWER_MS = 40_000;

/** A client in another language: a program that reads a command a line, and writes an answer a line. */
export class ProcessDriver implements Driver {
  private readonly lines: AsyncIterator<string, undefined>;
  private errors = '';

  constructor(private readonly process: ChildProcess) {
    this.lines = createInterface({ input: process.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    process.stderr?.on('data', (text) => (this.errors = (this.errors + String(text)).slice(-4000)));
  }

  static start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): ProcessDriver {
    return new ProcessDriver(spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] }));
  }

  async perform(command: JsonObject): Promise<Answer> {
    this.process.stdin?.write(`${JSON.stringify(command)}\n`);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), ANSWER_MS);
    try {
      const line = await this.lines.next();
      if (line.done === true)
        throw new Error(`The driver ended at ${JSON.stringify(command).slice(0, 200)}: ${this.errors}`);
      return JSON.parse(line.value) as Answer;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.stdin?.end();
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 5000);
    await exited;
    clearTimeout(timer);
  }
}
