import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MIB = 1024 * 1024;
const FILLER_CHUNK = new Uint8Array(MIB).fill(1);

/** A file system of so many MiB, of its own: a tmpfs, unmounted at the end. */
export class SmallDisk implements AsyncDisposable {
  private constructor(readonly folder: string) {}

  /** Fails where mounting is not permitted: see `mayMount`. */
  static async mount(mib: number): Promise<SmallDisk> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', folder]);
    return new SmallDisk(folder);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  private get filler(): string {
    return join(this.folder, 'of-another-program');
  }

  /** Another program takes all that is left, to the last byte. */
  fill(): void {
    const file = openSync(this.filler, 'a');
    try {
      for (let byteLength = MIB; byteLength >= 1;)
        try {
          writeSync(file, FILLER_CHUNK, 0, byteLength);
        } catch {
          byteLength = Math.floor(byteLength / 2);
        }
    } finally {
      closeSync(file);
    }
  }

  /** The other program gives it back. */
  empty(): void {
    rmSync(this.filler, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What a daemon that was killed had open may be let go of a little later.
    execFileSync('umount', ['-l', this.folder]);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Whether this process may mount a file system. */
export async function mayMount(): Promise<boolean> {
  try {
    await using disk = await SmallDisk.mount(1);
    return disk.freeBytes > 0;
  } catch {
    return false;
  }
}

const IN_NAMESPACE = 'OPTISTORE_TEST_NAMESPACE';

/** Runs a file of tests again, in a user and mount namespace of its own, where everybody may mount. Gives what it said. */
export function testInNamespace(file: string): string {
  if (process.env[IN_NAMESPACE] !== undefined)
    throw new Error('No file system can be mounted here, not even in a namespace of its own: allow user namespaces.');
  const env = { ...process.env, [IN_NAMESPACE]: 'own' };
  const command = ['-Urm', process.execPath, join('node_modules', 'vitest', 'vitest.mjs'), 'run', file];
  return execFileSync('unshare', [...command, '--reporter=default'], { env, encoding: 'utf8' });
}
