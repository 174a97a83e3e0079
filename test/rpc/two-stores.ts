import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { DaemonProcess, freePort } from '../../clients/cli/daemon-process.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { MAIN } from './wire.js';

/** A daemon with LevelDB as its primary and SQLite as its secondary, in a folder that is gone at the end. */
export class TwoStoreDaemon implements AsyncDisposable {
  private constructor(
    readonly folder: string,
    readonly address: string,
    public process: DaemonProcess,
  ) {}

  static async start(settings: JsonObject = {}): Promise<TwoStoreDaemon> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-two-'));
    const address = `127.0.0.1:${await freePort()}`;
    await writeConfig(folder, {
      listen: address,
      primary: { type: 'leveldb', path: join(folder, 'primary') },
      secondary: { type: 'database', connection_string: sqliteIn(folder) },
      ...settings,
    });
    return new TwoStoreDaemon(folder, address, await startIn(folder));
  }

  /** Starts it again on the same stores and address, with other settings where they are given. */
  async restart(settings?: JsonObject): Promise<void> {
    if (settings !== undefined) await writeConfig(this.folder, { listen: this.address, ...settings });
    this.process = await startIn(this.folder);
  }

  /** Opens the stores themselves, while no daemon has them. */
  async openStores(): Promise<{ primary: StorageBackend; secondary: StorageBackend } & AsyncDisposable> {
    const primary = await openLeveldbBackend({ path: join(this.folder, 'primary') });
    const secondary = await openDatabaseBackend({ connection_string: sqliteIn(this.folder) });
    return {
      ...{ primary, secondary },
      async [Symbol.asyncDispose]() {
        await primary[Symbol.asyncDispose]();
        await secondary[Symbol.asyncDispose]();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }
}

const sqliteIn = (folder: string) => `sqlite:///${join(folder, 'secondary.db')}`;
const configIn = (folder: string) => join(folder, 'optistore.yaml');

// JSON is YAML too.
const writeConfig = (folder: string, settings: JsonObject) => writeFile(configIn(folder), JSON.stringify(settings));

function startIn(folder: string): Promise<DaemonProcess> {
  return DaemonProcess.start(['--config', configIn(folder)], MAIN);
}
