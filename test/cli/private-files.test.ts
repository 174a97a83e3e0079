import { chmod, lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MAIN } from '../rpc/wire.js';
import { Folder, problemOf, run, Running, until } from './cli.js';

const STORES: Record<string, (folder: string) => object> = {
  leveldb: (folder) => ({ type: 'leveldb', path: folder }),
  filesystem: (folder) => ({ type: 'filesystem', base_path: folder }),
  sqlite: (folder) => ({ type: 'database', connection_string: `sqlite:///${join(folder, 'results.db')}` }),
};

/** A daemon whose shell makes files that all can read, on a folder that was there before. */
class OpenHandedDaemon implements AsyncDisposable {
  private constructor(
    private readonly folder: Folder,
    readonly store: string,
    private readonly config: string,
  ) {}

  static async make(storeIn: (folder: string) => object): Promise<OpenHandedDaemon> {
    const folder = await Folder.make();
    const store = folder.at('store');
    await mkdir(store);
    await chmod(store, 0o755);
    const settings = { primary: storeIn(store), listen: '127.0.0.1:0', socket: join(store, 'o.sock') };
    return new OpenHandedDaemon(folder, store, await folder.file('optistore.yaml', settings));
  }

  /** Serves while something is done at its address; gives what it has logged. */
  async serving(act: (server: string) => Promise<void>): Promise<string> {
    const serve = [process.execPath, MAIN, 'serve', '--config', this.config];
    await using daemon = Running.start(['-c', 'umask 022; exec "$0" "$@"', ...serve], {}, 'sh');
    await until(
      () => daemon.stderr,
      (log) => log.includes('"msg":"serving"'),
    );
    await act(/"grpc":"([^"]+)"/.exec(daemon.stderr)?.[1] ?? '');
    return (await daemon.stop('SIGTERM')).stderr;
  }

  async save(server: string): Promise<void> {
    const table = await this.folder.file('in.csv', 'n\n1\n2\n');
    const problem = await this.folder.file('problem.json', problemOf(['n', 'INT64']));
    const saved = await run(['save', 'k', table, '--problem', problem, '--server', server]);
    expect(saved).toMatchObject({ code: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]();
  }
}

/** What below a folder others than its user may read, write or look into, with its mode. */
async function openToOthers(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    // A symbolic link has all permissions, and gives none.
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const { mode } = await lstat(path);
    if ((mode & 0o077) !== 0) found.push(`${path} ${(mode & 0o777).toString(8)}`);
  }
  return found;
}

describe.each(Object.entries(STORES))('a %s store in a folder that all can look into', (_, storeIn) => {
  test('has no file that others than the user of the daemon can read, while it serves and afterwards', async () => {
    await using daemon = await OpenHandedDaemon.make(storeIn);
    await daemon.serving(async (server) => {
      await daemon.save(server);
      expect((await readdir(daemon.store)).length).toBeGreaterThan(1);
      expect(await openToOthers(daemon.store)).toEqual([]);
    });
    expect(await openToOthers(daemon.store)).toEqual([]);
  });
});

test('the index of a LevelDB store that others could look into is closed to them when it is opened', async () => {
  await using daemon = await OpenHandedDaemon.make(STORES['leveldb'] as (folder: string) => object);
  await daemon.serving((server) => daemon.save(server));
  const index = join(daemon.store, 'index');
  await chmod(index, 0o755);
  await daemon.serving(() => Promise.resolve());
  expect((await lstat(index)).mode & 0o777).toBe(0o700);
});

test('a SQLite file that every user can read stays so, for who meant it, and the log says how to close it', async () => {
  await using daemon = await OpenHandedDaemon.make(STORES['sqlite'] as (folder: string) => object);
  await daemon.serving((server) => daemon.save(server));
  const file = join(daemon.store, 'results.db');
  expect(await daemon.serving(() => Promise.resolve())).not.toContain('chmod');
  await chmod(file, 0o644);
  expect(await daemon.serving(() => Promise.resolve())).toContain(`chmod 600 ${file}`);
  expect((await lstat(file)).mode & 0o777).toBe(0o644);
});
