import { readFileSync } from 'node:fs';
import { credentials, Metadata, status, type ChannelCredentials } from '@grpc/grpc-js';
import { isLoopback } from '../../server/loopback.js';
import { OptistoreError } from './errors.js';

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
}

/** What a channel is made with. */
export interface Connection {
  readonly credentials: ChannelCredentials;
  /** Whether nobody on the way can read what is said. */
  readonly isEncrypted: boolean;
  /** Goes with each call. */
  readonly metadata: Metadata;
}

/** The connection to an address. OptistoreError where a token would go over the network unencrypted, or a file can't be read. */
export function connectionTo(address: string, options: ConnectionOptions): Connection {
  const { env } = process;
  const token = options.token ?? env['OPTISTORE_TOKEN'];
  const tls = options.tls ?? tlsFrom(env);
  const isInsecure = options.insecure ?? env['OPTISTORE_INSECURE'] === 'true';
  const metadata = new Metadata();
  if (token !== undefined && token !== '') {
    if (tls === false && !isInsecure && !isLocal(address))
      throw new OptistoreError(
        `The token would go to ${address} unencrypted, for anyone on the way to read. Use TLS (OPTISTORE_TLS_CA or OPTISTORE_TLS=true), or say OPTISTORE_INSECURE=true if that is meant.`,
        status.FAILED_PRECONDITION,
        undefined,
        {},
      );
    metadata.set('authorization', `Bearer ${token}`);
  }
  const isEncrypted = tls !== false;
  return {
    credentials: isEncrypted ? secure(tls === true ? {} : tls) : credentials.createInsecure(),
    isEncrypted,
    metadata,
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

function secure({ ca, cert, key }: TlsOptions): ChannelCredentials {
  return credentials.createSsl(pem(ca), pem(key), pem(cert));
}

function pem(path: string | undefined): Buffer | null {
  if (path === undefined) return null;
  try {
    return readFileSync(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OptistoreError(
      `The TLS file ${path} can't be read: ${why}.`,
      status.FAILED_PRECONDITION,
      undefined,
      {},
      { cause: error },
    );
  }
}
