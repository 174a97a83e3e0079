import { readFileSync } from 'node:fs';
import { isLoopback } from '../../server/loopback.js';
import { GrpcCode, OptistoreError } from './errors.js';

/** How a daemon is known, and how a client makes itself known: PEM files. */
export interface TlsOptions {
  /** Authorities that the daemon's certificate may come from. Default: those that Node trusts. */
  readonly ca?: string | undefined;
  /** The client's own certificate and its key, where the daemon asks for one. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** How to connect, and as whom. */
export interface ConnectionOptions {
  /** What `optistore token create` printed. Default: OPTISTORE_TOKEN. */
  readonly token?: string | undefined;
  /** TLS. Default: OPTISTORE_TLS_CA, OPTISTORE_TLS_CERT and OPTISTORE_TLS_KEY, or OPTISTORE_TLS=true alone; else none. */
  readonly tls?: boolean | TlsOptions | undefined;
  /** A token may go over the network unencrypted. Default: OPTISTORE_INSECURE, else false. */
  readonly insecure?: boolean | undefined;
  /** While a call waits, the daemon is asked so often whether it is there, and has so long to answer. Default: 20 and 40 s. */
  readonly keepalive?: { readonly everyMs: number; readonly answerMs: number } | undefined;
}

/** Which daemon, and how to connect to it. */
export interface DaemonOptions extends ConnectionOptions {
  /** `host:port` or `unix:PATH`. Default: OPTISTORE_SERVER, else 127.0.0.1:50051. */
  readonly address?: string | undefined;
}

/** What a connection is made with, whatever transport makes it. */
export interface Connection {
  /** What PEM files hold; undefined: no TLS, and anybody on the way can read what is said. */
  readonly tls: { readonly [file in keyof TlsOptions]: Buffer | undefined } | undefined;
  /** The header `authorization` of each call. */
  readonly authorization: string | undefined;
}

/** The address that is named, or that of the environment, or the default one. */
export function addressOf({ address }: DaemonOptions): string {
  return address ?? process.env['OPTISTORE_SERVER'] ?? '127.0.0.1:50051';
}

/** The connection to an address. OptistoreError where a token would go over the network unencrypted, or a file can't be read. */
export function connectionTo(address: string, options: ConnectionOptions): Connection {
  const { env } = process;
  const token = options.token ?? env['OPTISTORE_TOKEN'];
  const tls = options.tls ?? tlsFrom(env);
  const isInsecure = options.insecure ?? env['OPTISTORE_INSECURE'] === 'true';
  const hasToken = token !== undefined && token !== '';
  if (hasToken && tls === false && !isInsecure && !isLocal(address))
    throw new OptistoreError(
      `The token would go to ${address} unencrypted, for anyone on the way to read. Use TLS (OPTISTORE_TLS_CA or OPTISTORE_TLS=true), or say OPTISTORE_INSECURE=true if that is meant.`,
      GrpcCode.FAILED_PRECONDITION,
      undefined,
      {},
    );
  return {
    tls: tls === false ? undefined : read(tls === true ? {} : tls),
    authorization: hasToken ? `Bearer ${token}` : undefined,
  };
}

function isLocal(address: string): boolean {
  return address.startsWith('unix:') || isLoopback(address);
}

function tlsFrom(env: NodeJS.ProcessEnv): boolean | TlsOptions {
  const [ca, cert, key] = ['CA', 'CERT', 'KEY'].map((name) => env[`OPTISTORE_TLS_${name}`]);
  if (ca === undefined && cert === undefined) return env['OPTISTORE_TLS'] === 'true';
  return { ca, cert, key };
}

function read({ ca, cert, key }: TlsOptions): Connection['tls'] {
  return { ca: pem(ca), cert: pem(cert), key: pem(key) };
}

function pem(path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OptistoreError(
      `The TLS file ${path} can't be read: ${why}.`,
      GrpcCode.FAILED_PRECONDITION,
      undefined,
      {},
      { cause: error },
    );
  }
}
