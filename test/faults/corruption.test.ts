import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openBackend, type BackendConfig } from '../../server/backends/open-backend.js';
import { StorageError } from '../../server/errors.js';
import { RUNNING } from '../backends/runs.js';
import { damageSomeFile, filesBelow, type DamagedFile } from '../backends/damage.js';
import { campaign } from './campaign.js';
import { lastCommitAt } from './sqlite-log.js';
import { copyFiles, fill, type KnownStore } from './damaged-world.js';
import { checkRestarted, checkStore, type Allowances } from './damaged-store.js';

/** A backend whose files are damaged. */
interface Damaged {
  readonly config: (path: string) => BackendConfig;
  /** Files that are none of the store's: locks, and what people read. */
  readonly isSpared: (name: string) => boolean;
  /** Whether damage hit the end of what commits are written to, until they are somewhere else. */
  readonly hitCommits: (damaged: DamagedFile) => boolean;
  /** The same of what rows of open uploads are written to. */
  readonly hitRows: (damaged: DamagedFile) => boolean;
}

const endOf = (files: RegExp) => (damaged: DamagedFile) => damaged.isEndGone && files.test(damaged.path);
const hitLastCommit = ({ path, isEndGone, whole, lastChange }: DamagedFile) =>
  path.endsWith('-wal') && (isEndGone || lastChange >= lastCommitAt(whole));

const BACKENDS: Readonly<Record<string, Damaged>> = {
  leveldb: {
    config: (path) => ({ type: 'leveldb', path }),
    isSpared: (name) => /(LOCK|LOG|LOG\.old)$/.test(name),
    hitCommits: endOf(/\.log$/),
    hitRows: endOf(/\.(journal|seg)$/),
  },
  filesystem: {
    config: (path) => ({ type: 'filesystem', base_path: path }),
    isSpared: () => false,
    hitCommits: () => false,
    hitRows: endOf(/uploads\//),
  },
  sqlite: {
    config: (path) => ({ type: 'database', connection_string: `sqlite:///${path}/results.db` }),
    isSpared: (name) => /-(shm|ballast)$/.test(name),
    hitCommits: hitLastCommit,
    hitRows: hitLastCommit,
  },
};

describe.each(Object.entries(BACKENDS))('%s', (name, { config, isSpared, hitCommits, hitRows }) => {
  let folder = '';
  let known: KnownStore;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'optistore-rot-'));
    const filled = await fill(() => openBackend(config(join(folder, 'whole')), {}));
    known = filled.known;
    await copyFiles(join(folder, 'whole'), join(folder, 'killed'));
    await filled.backend[Symbol.asyncDispose]();
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('damage anywhere in a store gives what is right, or says that it is damaged', async () => {
    await campaign(`corruption: ${name}`, { short: 10, long: 1500 }, async (roll, number) => {
      const path = join(folder, `round-${number}`);
      const isKilled = roll() < 0.4;
      await copyFiles(join(folder, isKilled ? 'killed' : 'whole'), path);
      const damaged: DamagedFile[] = [];
      const count = roll() < 0.7 ? 1 : 2;
      for (let i = 0; i < count; i++) damaged.push(await damageSomeFile(path, roll, isSpared));
      // Of a store that is gone as a whole nobody can tell.
      if (await isGone(path, isSpared)) return 0;
      try {
        // Without its seal it is as one whose process was killed.
        const isUnsealed = isKilled || damaged.some(({ path: file }) => /(^|-)seal$/.test(file));
        return await checkDamaged(() => openBackend(config(path), {}), known, {
          mayLackCommits: isUnsealed && damaged.some(hitCommits),
          mayLackRows: isUnsealed && damaged.some(hitRows),
        });
      } catch (error) {
        const damages = damaged.map(({ how }) => how);
        throw new Error(`${isKilled ? 'killed' : 'stopped'}; ${damages.join('; ')}: ${String(error)}`, {
          cause: error,
        });
      } finally {
        await rm(path, { recursive: true });
      }
    });
  });
});

/** Whether nothing is left of a store but empty files, and what is none of it. */
async function isGone(path: string, isSpared: (name: string) => boolean): Promise<boolean> {
  for (const file of await filesBelow(path)) if (!isSpared(file) && (await stat(file)).size > 0) return false;
  return true;
}

/** Opens a store and asks for everything; gives how many things were looked at. */
async function checkDamaged(
  open: () => Promise<StorageBackend>,
  known: KnownStore,
  tail: Omit<Allowances, 'isReported'>,
): Promise<number> {
  const checked = async (check: typeof checkStore) => {
    await using store = await open();
    const { failure } = await store.stats(RUNNING);
    const outcomes = await check(store, known, { isReported: failure !== undefined, ...tail });
    return outcomes.right.length + outcomes.corrupt.length + outcomes.lacking.length;
  };
  try {
    return await checked(checkStore).catch((error: unknown) => {
      if (error instanceof Error && error.message.includes('Restart the daemon')) return checked(checkRestarted);
      throw error;
    });
  } catch (error) {
    if (error instanceof StorageError && error.reason === 'RESULT_CORRUPT' && /restore|move/i.test(error.message))
      return 1;
    throw error;
  }
}
