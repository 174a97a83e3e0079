import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { createClient, type DaemonClientOptions, type OptistoreClient } from '../../clients/typescript/index.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { expectNothingLeft, openFiles } from './daemon-holdings.js';

/** A daemon to which bad things are done while a good client works. */
export class Besieged implements AsyncDisposable {
  private constructor(
    readonly daemon: TestDaemon,
    private readonly connection: DaemonClientOptions,
    private readonly good: OptistoreClient,
    private readonly before: Awaited<ReturnType<typeof openFiles>>,
  ) {}

  /** `settings`: of the daemon's configuration file. `connection`: how it is reached then. */
  static async start(settings: JsonObject = {}, connection: DaemonClientOptions = {}): Promise<Besieged> {
    const daemon = await TestDaemon.startWith(settings);
    const good = createClient({ address: daemon.address, ...connection });
    const writer = await good.save('good', PROBLEM);
    await writer.append({ x: [1, 2], label: ['a', 'b'] });
    await writer.commit();
    return new Besieged(daemon, connection, good, await openFiles(daemon.process.pid));
  }

  /**
   * Does something bad; the good client is served meanwhile, and then the daemon is as it was before, connections included,
   * and has not taken more memory than is said. `lingering`: some connections may stay until CONNECTION_SILENCE_MS ends them.
   */
  async withstands(act: () => Promise<void>, { lingering = false } = {}): Promise<void> {
    const { daemon, before } = this;
    const { pid } = daemon.process;
    let isOver = false;
    const working = (async () => {
      let count = 0;
      for (; !isOver || count === 0; count++) {
        expect((await this.good.load('good').toColumns()).columns['x']?.values).toEqual(Float64Array.of(1, 2));
        await sleep(5);
      }
      return count;
    })();
    // Told below: it may fail while the bad one is still at it.
    working.catch(() => undefined);
    try {
      await act();
    } finally {
      isOver = true;
    }
    expect(await working).toBeGreaterThan(0);
    expect(daemon.process.pid).toBe(pid);
    await expectNothingLeft(daemon, lingering ? { ...before, sockets: Infinity } : before, this.connection);
    expect(daemon.process.log.filter((line) => line.includes('a defect'))).toEqual([]);
  }

  /** Waits until no connection is left but those that were there before. */
  async untilNoneLingers(): Promise<void> {
    while ((await openFiles(this.daemon.process.pid)).sockets > this.before.sockets) await sleep(500);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.good.close();
    await this.daemon[Symbol.asyncDispose]();
  }
}
