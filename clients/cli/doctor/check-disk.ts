import { statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ConfigError, readConfig, type Config } from '../../../server/config.js';
import { failed, ok, warning, type Finding } from './finding.js';

/** Of a disk. The daemon keeps some of it for commits and deletions, and takes no rows when that is all there is. */
const WARNED_SHARE = 0.1;
const FAILED_SHARE = 0.02;
const ENOUGH_BYTES = 50e9;

/** The room on the disks of a daemon on this machine, by the configuration that it would read here. */
export async function checkDisks(configFile: string | undefined): Promise<Finding[]> {
  let config: Config;
  try {
    config = readConfig({}, configFile, process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [failed('configuration', error.message, 'The daemon would not start with it.')];
  }
  const stores = { primary: config.primary, secondary: config.secondary };
  const findings = await Promise.all(
    Object.entries(stores).map(async ([role, store]) => {
      const path = store === undefined ? undefined : folderOf(store);
      return path === undefined ? [] : [await checkDisk(`${role} disk`, path)];
    }),
  );
  return findings.flat();
}

function folderOf(store: NonNullable<Config['secondary']>): string | undefined {
  if (store.type === 'leveldb') return resolve(store.path);
  return store.type === 'filesystem' ? resolve(store.base_path) : undefined;
}

async function checkDisk(check: string, path: string): Promise<Finding> {
  try {
    const { bavail, blocks, bsize } = await statfs(path);
    const freeBytes = bavail * bsize;
    const share = bavail / Math.max(blocks, 1);
    const found = `${(freeBytes / 1e9).toFixed(1)} GB free (${Math.round(share * 100)} %) at ${path}`;
    if (share < FAILED_SHARE) return failed(check, found, 'Make room, or move results to a secondary: docs/limits.md.');
    if (share < WARNED_SHARE && freeBytes < ENOUGH_BYTES)
      return warning(
        check,
        found,
        'Make room before it is full: saves wait then until there is some (docs/limits.md).',
      );
    return ok(check, found);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    return warning(
      check,
      `${path} is not there: the daemon has another configuration than this folder`,
      'Name its file with --config, or look from the folder that it was started in.',
    );
  }
}
