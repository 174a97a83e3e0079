import type { EventEmitter } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import type { Readable } from 'node:stream';
import { StorageError } from '../../errors.js';
import {
  MESSAGE_BYTES_MAX,
  STREAM_WINDOW_BYTES,
  STREAMS_MAX,
  UNTAKEN_BYTES_EASY,
  UNTAKEN_BYTES_MAX,
  UNTAKEN_MS_MAX,
} from '../../limits.js';
import { cutStream } from './answered-streams.js';
import { MessageCosts } from './message-costs.js';

/** How much room there is. */
export interface RoomLimits {
  readonly streamsMax: number;
  readonly easyBytes: number;
  readonly maxBytes: number;
  readonly turnMsMax: number;
}

const DEFAULTS: RoomLimits = {
  streamsMax: STREAMS_MAX,
  easyBytes: UNTAKEN_BYTES_EASY,
  maxBytes: UNTAKEN_BYTES_MAX,
  turnMsMax: UNTAKEN_MS_MAX,
};

/** A stream that comes in. */
export interface AdmittedStream {
  /** Whose it is. */
  readonly connection: object;
  /** See MessageCosts. */
  readonly isEnveloped: boolean;
  /** Tells by `close` that nobody has anything of it any more. */
  readonly ended: EventEmitter;
  /** Ends it, whatever it is at. */
  readonly cut: () => void;
}

/** A stream that holds no more than this is never made to wait: calls are short as a rule. */
const SMALL_BYTES = 64 * 1024;
/** Smaller pieces are copied in any case. */
const PIECE_BYTES = 4096;
/** How long a stream may still take to tell its peer why it was refused. */
const FAREWELL_MS = 50;

/**
 * The room of a port for what its peers have sent and nobody has taken yet. Within `easyBytes` all streams are read. Beyond,
 * those go on whose turn it is, so many that a message of each finds room, and the others wait: their peers may fill their
 * windows. Beyond `maxBytes` the connection that holds most is refused its largest stream, and beyond `streamsMax` the one
 * that has most of them its newest.
 */
export class ReceiveRoom {
  /** In the order of their turns. */
  private readonly streams = new Map<Readable, StreamRoom>();
  private heldBytes = 0;
  /** Those of them that were refused, and are about to be closed. */
  private leavingCount = 0;
  private leavingBytes = 0;
  private readonly turnCount: number;
  private timer: NodeJS.Timeout | undefined;

  constructor(readonly limits: RoomLimits = DEFAULTS) {
    this.turnCount = Math.max(1, Math.floor(limits.easyBytes / MESSAGE_BYTES_MAX));
  }

  /** Watches over a stream of HTTP/2, from before its first byte on. */
  admitHttp2(stream: ServerHttp2Stream, isEnveloped: boolean): StreamRoom {
    const connection = stream.session ?? stream;
    return this.admit(stream, { connection, isEnveloped, ended: stream, cut: () => cutStream(stream) });
  }

  /** Watches over a body from before its first byte on. */
  admit(body: Readable, stream: AdmittedStream): StreamRoom {
    const { streamsMax } = this.limits;
    const room = new StreamRoom(this, body, stream);
    this.streams.set(body, room);
    stream.ended.once('close', () => this.leave(body));
    if (this.streams.size - this.leavingCount > streamsMax)
      this.newestOfMost()?.refuse(
        refused(`There are ${streamsMax} streams at this port already, and this connection has most of them.`),
      );
    return room;
  }

  /** Counts bytes, and makes room for them where there is none. */
  add(bytes: number): void {
    this.heldBytes += bytes;
    while (this.heldBytes - this.leavingBytes > this.limits.maxBytes) {
      const victim = this.largestOfLargest();
      if (victim === undefined) return;
      victim.refuse(
        refused(
          `The daemon has ${mib(this.limits.maxBytes)} MiB of requests that are not whole or not yet taken up, and no room for more.`,
        ),
      );
    }
  }

  /** Gives bytes back: others may go on. */
  release(bytes: number): void {
    this.heldBytes -= bytes;
    this.goOn();
  }

  /** Of a refused stream all is on its way out. */
  expectBack(bytes: number): void {
    this.leavingCount++;
    this.leavingBytes += bytes;
  }

  /** Lets the stream wait behind all the others for its next turn. */
  toTheEnd(body: Readable, room: StreamRoom): void {
    this.streams.delete(body);
    this.streams.set(body, room);
  }

  /** Whether there is so little that it need not be looked at closely: what pieces of it keep of 64 KiB each is some 128 MiB at most. */
  get isCalm(): boolean {
    return this.heldBytes <= this.limits.easyBytes / 4;
  }

  mayRead(room: StreamRoom): boolean {
    return this.heldBytes <= this.limits.easyBytes || room.heldBytes <= SMALL_BYTES || this.turns().has(room);
  }

  /** From now on a stream waits: those whose turn it is have to come to an end. */
  watch(): void {
    this.timer ??= setInterval(() => this.endSlow(), this.limits.turnMsMax / 10).unref();
  }

  private leave(body: Readable): void {
    const room = this.streams.get(body);
    if (room === undefined) return;
    this.streams.delete(body);
    if (room.isRefused) {
      this.leavingCount--;
      this.leavingBytes -= room.heldBytes;
    }
    this.release(room.heldBytes);
  }

  private turns(): Set<StreamRoom> {
    const turns = new Set<StreamRoom>();
    for (const room of this.streams.values()) {
      if (room.wants) turns.add(room);
      if (turns.size === this.turnCount) break;
    }
    return turns;
  }

  private goOn(): void {
    if (this.timer === undefined) return;
    // Each that goes on may bring as much as a window.
    let easyCount = Math.ceil((this.limits.easyBytes - this.heldBytes) / STREAM_WINDOW_BYTES);
    const turns = this.turns();
    let isOneWaiting = false;
    for (const room of this.streams.values()) {
      if (!room.isWaiting) continue;
      if (turns.has(room)) room.goOn();
      else if (easyCount-- > 0) room.goOn();
      else isOneWaiting = true;
    }
    if (isOneWaiting) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private endSlow(): void {
    const before = performance.now() - this.limits.turnMsMax;
    for (const room of this.turns())
      if (room.isSlow(before))
        room.refuse(
          refused(
            `A message was not whole after ${this.limits.turnMsMax / 1000} s while others had to wait for its room.`,
          ),
        );
    this.goOn();
  }

  private largestOfLargest(): StreamRoom | undefined {
    let largest: StreamRoom | undefined;
    for (const room of this.ofWhoHasMost(({ heldBytes }) => heldBytes))
      if (largest === undefined || room.heldBytes > largest.heldBytes) largest = room;
    return largest;
  }

  private newestOfMost(): StreamRoom | undefined {
    return this.ofWhoHasMost(() => 1).at(-1);
  }

  /** The streams of the connection that has most of something. */
  private ofWhoHasMost(countOf: (room: StreamRoom) => number): StreamRoom[] {
    const connections = new Map<object, { count: number; streams: StreamRoom[] }>();
    for (const room of this.streams.values()) {
      if (room.isRefused) continue;
      const entry = connections.get(room.connection) ?? { count: 0, streams: [] };
      connections.set(room.connection, entry);
      entry.count += countOf(room);
      entry.streams.push(room);
    }
    let most: { count: number; streams: StreamRoom[] } = { count: -1, streams: [] };
    for (const entry of connections.values()) if (entry.count > most.count) most = entry;
    return most.streams;
  }
}

/** What one stream holds of the room. */
export class StreamRoom {
  heldBytes = 0;
  private readonly costs: MessageCosts;
  private untakenCount = 0;
  private isEnded = false;
  private turnMs = performance.now();
  private waiting: (() => void) | undefined;
  private refusal: StorageError | undefined;
  private onRefused: ((error: StorageError) => void) | undefined;

  constructor(
    private readonly room: ReceiveRoom,
    private readonly body: Readable,
    private readonly stream: AdmittedStream,
  ) {
    this.costs = new MessageCosts(stream.isEnveloped);
    const push = body.push.bind(body);
    const read = body._read.bind(body);
    // What the connection brings goes by `push`, and it brings more when it is asked by `_read`: there is no other place where
    // a stream can be held up, whoever reads it.
    body.push = (chunk: Buffer | null) =>
      chunk === null ? this.ended(push) : this.came(chunk) && push(this.owned(chunk)) && this.mayGoOn;
    body._read = (size) => this.whenItMay(() => read(size));
  }

  get connection(): object {
    return this.stream.connection;
  }

  get isRefused(): boolean {
    return this.refusal !== undefined;
  }

  get isWaiting(): boolean {
    return this.waiting !== undefined;
  }

  /** Whether it has begun with something, and more has to come before that can be taken. */
  get wants(): boolean {
    return !this.isRefused && !this.isEnded && this.untakenCount === 0 && this.heldBytes > 0;
  }

  /** Whether its turn has lasted since before a time. */
  isSlow(beforeMs: number): boolean {
    return this.turnMs < beforeMs;
  }

  /** A message is whole, and has so many bytes unpacked. Gives what is to be given back when it is taken. */
  delivered(byteLength: number): number {
    const cost = this.costs.next();
    const unpackedBytes = Math.max(0, byteLength - cost);
    this.untakenCount++;
    this.hold(unpackedBytes);
    return cost + unpackedBytes;
  }

  /** A message was taken up. */
  taken(cost: number): void {
    this.untakenCount--;
    this.turnMs = performance.now();
    if (this.isRefused) return;
    this.room.toTheEnd(this.body, this);
    this.dropped(cost);
  }

  /** Bytes of a message were thrown away before it was whole. */
  dropped(byteLength: number): void {
    if (this.isRefused) return;
    this.heldBytes -= byteLength;
    this.room.release(byteLength);
  }

  /** Tells whoever serves the stream that it is refused; it answers, and a moment later the stream is closed. */
  whenRefused(listener: (error: StorageError) => void): void {
    this.onRefused = listener;
    if (this.refusal !== undefined) listener(this.refusal);
  }

  refuse(error: StorageError): void {
    if (this.refusal !== undefined) return;
    this.refusal = error;
    this.room.expectBack(this.heldBytes);
    this.onRefused?.(error);
    setTimeout(() => this.stream.cut(), FAREWELL_MS).unref();
  }

  goOn(): void {
    const read = this.waiting;
    this.waiting = undefined;
    this.turnMs = performance.now();
    read?.();
  }

  private get mayGoOn(): boolean {
    return this.room.mayRead(this);
  }

  private came(chunk: Buffer): boolean {
    if (this.isRefused) return false;
    if (!this.costs.isPartial) this.turnMs = performance.now();
    this.hold(this.costs.pass(chunk));
    return !this.isRefused;
  }

  /** A piece keeps all that was read with it from the connection, and a small one of a pool its neighbours: where that adds up, it is copied. */
  private owned(chunk: Buffer): Buffer {
    const isFew = chunk.byteLength >= PIECE_BYTES && this.room.isCalm;
    if (isFew || chunk.byteLength * 2 >= chunk.buffer.byteLength) return chunk;
    const copy = Buffer.allocUnsafeSlow(chunk.byteLength);
    chunk.copy(copy);
    return copy;
  }

  private ended(push: (chunk: null) => boolean): boolean {
    this.isEnded = true;
    // To whoever reads it, what is refused is not whole: it must not be taken for one that is.
    return !this.isRefused && push(null);
  }

  private hold(bytes: number): void {
    // What is refused goes back all at once, as it was then.
    if (this.isRefused) return;
    this.heldBytes += bytes;
    this.room.add(bytes);
  }

  private whenItMay(read: () => void): void {
    if (this.mayGoOn || this.isEnded) return read();
    this.waiting = read;
    this.room.watch();
  }
}

function mib(bytes: number): number {
  return bytes / (1024 * 1024);
}

function refused(what: string): StorageError {
  return new StorageError(
    'MEMORY_LIMIT',
    `${what} Try again in a moment, with fewer streams at a time, or smaller messages.`,
  );
}
