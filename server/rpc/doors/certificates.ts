import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import { StorageError } from '../../errors.js';

/** Where the certificate of the doors is, in PEM. */
export interface TlsFiles {
  /** The certificate, and behind it those that lead to its authority. */
  readonly cert: string;
  readonly key: string;
  /** Authorities whose certificates clients have to show. Undefined: they need none. */
  readonly clientCa: string | undefined;
}

/** A certificate with its key, and whether clients have to show one. */
export type SecureOptions = SecureContextOptions & {
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
};

/** The certificate of the doors, which can be read again while they are open. */
export class Certificates {
  private readonly listeners: ((secure: SecureOptions) => void)[] = [];
  private secure: SecureOptions;

  /** REQUEST_INVALID where a file can't be read or has no certificate, or the key is another certificate's. */
  constructor(private readonly files: TlsFiles) {
    this.secure = read(files);
  }

  get current(): SecureOptions {
    return this.secure;
  }

  /** Calls the listener with each certificate to come. */
  onReload(listener: (secure: SecureOptions) => void): void {
    this.listeners.push(listener);
  }

  /** Reads the files again: connections that come from now on are served with them. As the constructor; all stays as it is then. */
  reload(): void {
    this.secure = read(this.files);
    for (const listener of this.listeners) listener(this.secure);
  }
}

/** The credentials of a gRPC server, which follow the certificates. */
export class ReloadedCredentials extends ServerCredentials {
  constructor(certificates: Certificates) {
    const { requestCert, rejectUnauthorized, ...context } = certificates.current;
    super({ requestCert, rejectUnauthorized }, context);
    certificates.onReload((secure) => this.updateSecureContextOptions(secure));
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}

function read({ cert, key, clientCa }: TlsFiles): SecureOptions {
  const context: SecureContextOptions = {
    ...{ cert: pem('tls_cert', cert), key: pem('tls_key', key), minVersion: 'TLSv1.2' },
    ...(clientCa === undefined ? {} : { ca: authorities(clientCa) }),
  };
  try {
    createSecureContext(context);
  } catch (error) {
    throw new StorageError(
      'REQUEST_INVALID',
      `${cert} and ${key} can't be used: ${error instanceof Error ? error.message : String(error)}. A certificate and its own key were expected, both in PEM.`,
      { cause: error },
    );
  }
  const asksClients = clientCa !== undefined;
  return { ...context, requestCert: asksClients, rejectUnauthorized: asksClients };
}

/** What each certificate of a file begins with. */
const BEGINNING = /(?=-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----)/;

/** The authorities of clients. OpenSSL takes a file without any, or with a damaged one, and would refuse the clients without a word. */
function authorities(path: string): Buffer {
  const file = pem('tls_client_ca', path);
  const certificates = file
    .toString('latin1')
    .split(BEGINNING)
    .filter((part) => BEGINNING.test(part));
  try {
    if (certificates.length === 0) throw new Error('it has no certificate');
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch (error) {
    throw new StorageError(
      'REQUEST_INVALID',
      `tls_client_ca is ${path}, which can't be used: ${error instanceof Error ? error.message : String(error)}. The certificates of authorities were expected, in PEM.`,
      { cause: error },
    );
  }
  return file;
}

function pem(name: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new StorageError(
      'REQUEST_INVALID',
      `${name} is ${path}, which can't be read: ${error instanceof Error ? error.message : String(error)}.`,
      { cause: error },
    );
  }
}
