import { once } from 'node:events';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { DescMethod, JsonValue } from '@bufbuild/protobuf';
import { createClient, ConnectError, type Client } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { ErrorInfoSchema, type ErrorInfo } from '../../../proto/gen/google/rpc/error_details_pb.js';
import { StorageService } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import type { DaemonProcess } from '../../../clients/cli/daemon-process.js';
import { pathOf } from '../wire.js';

/** Where a daemon serves the web. */
export function webAddress(daemon: { readonly process: DaemonProcess }): string {
  const { web } = daemon.process;
  if (web === undefined) throw new Error('the daemon has no web port');
  return web;
}

/** Clients of the web port by each protocol that it speaks. */
export function webClients(address: string): Record<string, Client<typeof StorageService>> {
  const options = { baseUrl: `http://${address}`, httpVersion: '1.1' as const };
  return {
    'Connect, binary': createClient(StorageService, createConnectTransport({ ...options, useBinaryFormat: true })),
    'Connect, JSON': createClient(StorageService, createConnectTransport({ ...options, useBinaryFormat: false })),
    'gRPC-Web, binary': createClient(StorageService, createGrpcWebTransport({ ...options, useBinaryFormat: true })),
    'gRPC-Web, JSON': createClient(StorageService, createGrpcWebTransport({ ...options, useBinaryFormat: false })),
  };
}

/** What a call failed with, as the client has it. */
export async function failureOf(call: Promise<unknown> | AsyncIterable<unknown>): Promise<ConnectError> {
  try {
    if (Symbol.asyncIterator in call) for await (const answer of call) void answer;
    else await call;
  } catch (error) {
    if (error instanceof ConnectError) return error;
    throw error;
  }
  throw new Error('the call went well');
}

/** The ErrorInfo of a failure. */
export function infoOf(error: ConnectError): ErrorInfo | undefined {
  return error.findDetails(ErrorInfoSchema)[0];
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Sends a request as it is given, also with headers that no library sends. */
export async function ask(
  address: string,
  path: string,
  { method = 'GET', headers = {}, body = '' }: AskOptions = {},
): Promise<Answer> {
  const [host, port] = partsOf(address);
  // setHost: a Host in capital letters or none is ours to send.
  const request = httpRequest({ host, port, path, method, headers: { Host: address, ...headers } });
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  request.end(body);
  const [response] = await answered;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() };
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
}

/** Calls an rpc with JSON, as curl would. */
export function post(address: string, method: DescMethod, body: JsonValue, headers = {}): Promise<Answer> {
  const all = { 'Content-Type': 'application/json', ...headers };
  return ask(address, pathOf(method), { method: 'POST', headers: all, body: JSON.stringify(body) });
}

/** A connection that says what no client would; errors of it are what is looked for. */
export async function rawSocket(address: string): Promise<Socket> {
  const [host, port] = partsOf(address);
  const socket = connect({ host, port });
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  return socket;
}

/** A request of a stream by Connect, as bytes. */
export function streamRequest(address: string, method: DescMethod, message: Uint8Array): Buffer {
  const head = [
    `POST ${pathOf(method)} HTTP/1.1`,
    `Host: ${address}`,
    'Content-Type: application/connect+proto',
    `Content-Length: ${message.byteLength + 5}`,
  ];
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), envelope, message]);
}

function partsOf(address: string): [host: string, port: number] {
  const at = address.lastIndexOf(':');
  return [address.slice(0, at), Number(address.slice(at + 1))];
}
