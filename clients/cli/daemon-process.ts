import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** In the line that says where it serves. */
const SERVING = '"msg":"serving"';

/** A daemon in a process of its own, which can be killed. */
export class DaemonProcess implements AsyncDisposable {
  private constructor(
    private readonly child: ChildProcess,
    readonly address: string,
    /** What it has logged, a JSON object a line. */
    readonly log: string[],
  ) {}

  /** Starts the built `optistore serve`, with variables beside this process's own; resolves when it serves. */
  static async start(
    flags: readonly string[],
    main = fileURLToPath(new URL('../../bin/optistore.js', import.meta.url)),
    env: Readonly<Record<string, string>> = {},
  ): Promise<DaemonProcess> {
    const child = spawn(process.execPath, [main, 'serve', ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
    });
    const log: string[] = [];
    const address = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        log.push(line);
        if (line.includes(SERVING)) resolve((JSON.parse(line) as { grpc: string }).grpc);
      });
      child.on('close', (code) => reject(new Error(`the daemon ended with ${code}: ${log.join('\n')}`)));
    });
    return new DaemonProcess(child, address, log);
  }

  /** Where it serves the web, as host:port; undefined where it does not. */
  get web(): string | undefined {
    const line = this.log.find((text) => text.includes(SERVING)) ?? '{}';
    return (JSON.parse(line) as { web?: string }).web;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Sends a signal and waits for the end; gives the exit code, null when it was killed. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const ended = once(this.child, 'close') as Promise<[number | null]>;
    this.child.kill(signal);
    return (await ended)[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL');
  }
}

/** A port of the loopback that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
