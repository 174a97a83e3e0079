import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from './files.js';

/** What the damage may have cost: told in the store's status. */
const REPORT = 'report';
/** What was found, and cost nothing that is not told elsewhere. */
const NOTE = 'note';
const ADVICE =
  'Results, uploads and deletions may lack, or be older than they were: run `optistore verify --repair` where there is a secondary, else restore the store from a backup.';

/**
 * Makes the folder for what is damaged now; gives its path. `quarantine`: where the damaged files of a store are put aside, in a folder
 * for each time that some were found.
 */
export async function folderAside(quarantine: string): Promise<string> {
  const aside = join(quarantine, new Date().toISOString().replaceAll(/[:.]/g, '-'));
  await mkdir(aside, { recursive: true, mode: 0o700 });
  return aside;
}

/** Writes down in such a folder what was found that may have cost something: see standingReport. */
export function writeReport(aside: string, what: string): Promise<void> {
  return write(aside, REPORT, `${what} ${ADVICE}`);
}

/** Writes down in such a folder what was found that cost nothing more. */
export function writeNote(aside: string, what: string): Promise<void> {
  return write(aside, NOTE, what);
}

async function write(aside: string, name: string, what: string): Promise<void> {
  await writeFile(join(aside, name), `${what} Remove ${aside} to end this message.\n`, { flush: true });
  await syncFolder(aside);
}

/** Notes what a start has found that may have cost something, until someone removes the folder. */
export async function reportDamage(quarantine: string, what: string): Promise<void> {
  await writeReport(await folderAside(quarantine), what);
}

/** What the damage of earlier starts may have cost; undefined: nothing, or someone has removed what was put aside. */
export async function standingReport(quarantine: string): Promise<string | undefined> {
  for (const name of (await readdir(quarantine).catch(() => [])).sort().reverse()) {
    const text = await readFile(join(quarantine, name, REPORT), 'utf8').catch(() => undefined);
    if (text !== undefined) return text.trim();
  }
  return undefined;
}
