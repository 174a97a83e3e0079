import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A self-signed certificate for the loopback, which is its own authority, in files that are gone at the end. */
export class Certificate implements AsyncDisposable {
  private constructor(
    private readonly folder: string,
    readonly cert: string,
    readonly key: string,
  ) {}

  /** Made by openssl. */
  static async make(name: string): Promise<Certificate> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-cert-'));
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const what = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    await promisify(execFile)('openssl', ['req', ...kind, ...what, '-out', cert, '-keyout', key]);
    return new Certificate(folder, await readFile(cert, 'utf8'), await readFile(key, 'utf8'));
  }

  get files(): { cert: string; key: string } {
    return { cert: join(this.folder, 'cert.pem'), key: join(this.folder, 'key.pem') };
  }

  /** Puts another one's content into this one's files. */
  async replaceBy(other: Certificate): Promise<void> {
    await copyFile(other.files.cert, this.files.cert);
    await copyFile(other.files.key, this.files.key);
  }

  /** Makes its file no certificate any more. */
  async spoil(): Promise<void> {
    await writeFile(this.files.cert, 'no certificate');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
