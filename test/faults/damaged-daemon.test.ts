import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { damageFilesystemEntry, filesBelow, flipBit, leafPages, PAGE_BYTES, zeroBytes } from '../backends/damage.js';
import { all } from '../backends/runs.js';
import { Folder, run } from '../cli/cli.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';

const COUNT = 40;
const LARGE_ROWS = 20_000;
const keyOf = (i: number) => `run-${String(i).padStart(2, '0')}`;

/** A primary that is damaged between two starts of its daemon. */
interface Damaged {
  readonly store: (path: string) => JsonObject;
  /** The other store, of another kind. */
  readonly secondary: (path: string) => JsonObject;
  readonly damage: (path: string) => Promise<void>;
  /** Where the start puts what is damaged aside; undefined: it stays where it is. */
  readonly quarantine: string | undefined;
}

const leveldb = (path: string) => ({ type: 'leveldb', path });
const filesystem = (path: string) => ({ type: 'filesystem', base_path: path });

const PRIMARIES: Readonly<Record<string, Damaged>> = {
  leveldb: {
    store: leveldb,
    secondary: filesystem,
    async damage(path) {
      const log = (await filesBelow(join(path, 'index'))).find((file) => file.endsWith('.log')) ?? '';
      await zeroBytes(log, 3000, 2000);
      for (const file of await filesBelow(join(path, 'segments'))) await flipBit(file, 5000);
    },
    quarantine: 'quarantine',
  },
  filesystem: {
    store: filesystem,
    secondary: leveldb,
    async damage(path) {
      for (const i of [3, 4]) await damageFilesystemEntry(path, keyOf(i));
      for (const file of await filesBelow(join(path, 'results')))
        if (file.endsWith('key.json') || /large.*\.arrow$/.test(file))
          await flipBit(file, -500).catch(() => flipBit(file, 5));
    },
    quarantine: undefined,
  },
  sqlite: {
    store: (path) => ({ type: 'database', connection_string: `sqlite:///${path}/results.db` }),
    secondary: leveldb,
    async damage(path) {
      const file = join(path, 'results.db');
      const [results = -1, blocks = -1] = [
        (await leafPages(file, 'results')).at(-1),
        (await leafPages(file, 'blocks')).at(-1),
      ];
      await zeroBytes(file, results, PAGE_BYTES);
      await zeroBytes(file, blocks, PAGE_BYTES);
    },
    quarantine: 'results.db-quarantine',
  },
};

async function save(client: OptistoreClient, key: string, rowCount: number): Promise<void> {
  const writer = await client.save(key, PROBLEM);
  const x = Array.from({ length: rowCount }, (_, i) => i);
  await writer.append({ x, label: x.map((row) => (row % 7 === 0 ? null : `row ${row}`)) });
  await writer.commit();
}

async function expectAll(client: OptistoreClient): Promise<void> {
  for (let i = 0; i <= COUNT; i++) {
    const { columns } = await client.load(i === COUNT ? 'large' : keyOf(i)).toColumns();
    expect(columns['x']?.values).toEqual(
      Float64Array.from({ length: i === COUNT ? LARGE_ROWS : 3 + i }, (_, row) => row),
    );
  }
}

describe.each(Object.entries(PRIMARIES))('a daemon whose primary, %s, is damaged', (_, primary) => {
  test('starts, says so, serves all from the secondary, and is healed by it', { timeout: 120_000 }, async () => {
    await using folder = await Folder.make();
    const path = folder.at('primary');
    const settings = {
      primary: primary.store(path),
      secondary: primary.secondary(folder.at('secondary')),
      replication: 'sync',
    };
    {
      await using daemon = await TestDaemon.startWith(settings);
      await using client = createClient({ address: daemon.address });
      for (let i = 0; i < COUNT; i++) await save(client, keyOf(i), 3 + i);
      await save(client, 'large', LARGE_ROWS);
      expect(await daemon.process.stop('SIGTERM')).toBe(0);
    }
    await primary.damage(path);
    {
      await using daemon = await TestDaemon.startWith(settings);
      await using client = createClient({ address: daemon.address });
      if (primary.quarantine !== undefined) expect(await readdir(join(path, primary.quarantine))).toHaveLength(1);
      const told = await run(['verify', '--server', daemon.address]);
      expect(told).toMatchObject({ code: 1, stdout: expect.stringMatching(/primary, .*(corrupt|missing)/) as string });
      await expectAll(client);
      const keys = (await all(client.listResults())).map(({ key }) => key);
      expect(keys).toHaveLength(COUNT + 1);
      expect(await run(['verify', '--repair', '--server', daemon.address])).toMatchObject({ code: 0 });
      expect(await run(['verify', '--server', daemon.address])).toMatchObject({ code: 0 });
      expect(await daemon.process.stop('SIGTERM')).toBe(0);
    }
    await using alone = await TestDaemon.startWith({ primary: settings.primary });
    await using client = createClient({ address: alone.address });
    await expectAll(client);
    await save(client, keyOf(0), 5);
  });
});
