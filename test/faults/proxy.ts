import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Bytes from the client to the daemon, or back. */
export type Direction = 'up' | 'down';

/**
 * What happens to a connection when exactly so many bytes have gone through in a direction:
 * - `close`: both ends get a FIN;
 * - `reset`: both ends get a RST;
 * - `stall`: nothing is read or forwarded any more, either way, not even an end; both ends stay open;
 * - `trickle`: from there on a byte at a time, each turn of the event loop.
 */
export interface Fault {
  readonly direction: Direction;
  readonly afterBytes: number;
  readonly kind: 'close' | 'reset' | 'stall' | 'trickle';
}

/**
 * A TCP proxy in front of a daemon, with faults to order. Toxiproxy cuts at about a byte count, in another process,
 * and knows no FIN or RST to choose; no package of npm does more than forward.
 */
export class FaultyProxy implements AsyncDisposable {
  /** Connections that were made so far. */
  connectionCount = 0;
  /** Bytes of the newest connection. */
  readonly passed: Record<Direction, number> = { up: 0, down: 0 };
  private readonly sockets = new Set<Socket>();
  private readonly links = new Set<Link>();

  private constructor(
    private readonly server: Server,
    private readonly target: { host: string; port: number },
    /** The fault of a connection, by its number from 0; undefined: none; `blackhole`: nobody is behind it. */
    private readonly faultOf: (connection: number) => Fault | 'blackhole' | undefined,
  ) {
    server.on('connection', (client) => this.serve(client));
  }

  static async start(
    target: string,
    faultOf: (connection: number) => Fault | 'blackhole' | undefined,
  ): Promise<FaultyProxy> {
    const at = target.lastIndexOf(':');
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultyProxy(server, { host: target.slice(0, at), port: Number(target.slice(at + 1)) }, faultOf);
  }

  /** `host:port` for clients. */
  get address(): string {
    const address = this.server.address();
    return `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  }

  /** From now on nothing is forwarded on the connections that there are. */
  stall(): void {
    for (const link of this.links) link.stall();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private serve(client: Socket): void {
    const fault = this.faultOf(this.connectionCount++);
    this.passed.up = this.passed.down = 0;
    this.keep(client);
    if (fault === 'blackhole') return void client.resume();
    const daemon = this.keep(connect({ ...this.target, allowHalfOpen: true }));
    const link = new Link(client, daemon, fault, this.passed);
    this.links.add(link);
    link.forward('up', client, daemon);
    link.forward('down', daemon, client);
  }

  private keep(socket: Socket): Socket {
    this.sockets.add(socket);
    socket.setNoDelay(true);
    return socket.on('error', () => undefined).on('close', () => this.sockets.delete(socket));
  }
}

/** Two sockets, of which each gets what the other one sends, until the fault. */
class Link {
  private isStalled = false;

  constructor(
    private readonly client: Socket,
    private readonly daemon: Socket,
    private readonly fault: Fault | undefined,
    private readonly passed: Record<Direction, number>,
  ) {}

  forward(direction: Direction, from: Socket, to: Socket): void {
    let count = 0;
    let sending = Promise.resolve();
    const { fault } = this;
    const isFaulty = fault?.direction === direction;
    from.on('data', (chunk: Buffer) => {
      if (this.isStalled) return;
      const room = isFaulty ? Math.max(fault.afterBytes - count, 0) : Infinity;
      count += chunk.byteLength;
      this.passed[direction] += chunk.byteLength;
      to.write(chunk.subarray(0, room));
      if (count < (isFaulty ? fault.afterBytes : Infinity)) return;
      if (fault?.kind === 'trickle') {
        from.pause();
        sending = trickle(chunk.subarray(room), to).finally(() => from.resume());
      } else this.strike();
    });
    from.on('end', () => void sending.then(() => this.isStalled || to.end()));
    // A reset of one end is one of the other.
    from.on('error', () => this.isStalled || to.resetAndDestroy());
  }

  /** Forwards nothing more: what still comes fills the buffers of the kernel. */
  stall(): void {
    this.isStalled = true;
    this.client.pause();
    this.daemon.pause();
  }

  private strike(): void {
    this.isStalled = true;
    if (this.fault?.kind === 'stall') return this.stall();
    for (const socket of [this.client, this.daemon]) {
      if (this.fault?.kind === 'reset') socket.resetAndDestroy();
      else socket.end(() => socket.destroySoon());
    }
  }
}

async function trickle(bytes: Buffer, to: Socket): Promise<void> {
  for (const byte of bytes) {
    if (to.destroyed) return;
    to.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
}
