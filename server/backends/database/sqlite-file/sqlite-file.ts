import { access, constants, copyFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Knex } from 'knex';
import { StorageError } from '../../../errors.js';
import { codeOf, ifThere } from '../../files.js';
import { folderAside, standingReport, writeNote, writeReport } from '../../quarantine.js';
import { readSeal, writeSeal, type Seal } from '../../seal.js';
import { nativeMessage } from '../database-errors.js';
import { MIGRATION_COUNT } from '../migrations.js';
import { rebuildFile } from './rebuild-file.js';
import { sqliteConnection } from './sqlite-connection.js';
import { checkWal, rewriteWal } from './wal.js';

/** Tables of which lists and keys are looked up, and SQLite's own; rows check themselves when they are read, and may be much. */
const LOOKED_UP = [
  ...['sqlite_schema', 'sqlite_sequence', 'optistore_migrations'],
  ...['results', 'tags', 'best', 'revisions', 'segments', 'uploads', 'store'],
];
/** What a file can't be used for now, and is not damaged by. */
const PASSING = /^SQLITE_(BUSY|LOCKED|CANTOPEN|PERM|IOERR|FULL|NOMEM|AUTH|INTERRUPT)|^E[A-Z]{2,}$/;

/**
 * The file of a SQLite store: whether it is as it was left. SQLite itself checks none of its pages, drops what is behind a damaged
 * frame of its log, and makes a new database where a file is empty.
 */
export class SqliteFile {
  private seal: Seal | undefined;
  private isOpen = false;
  private hasFailed = false;
  /** What the damage of this start or earlier ones may have cost. */
  report: string | undefined;

  constructor(readonly path: string) {}

  private get quarantine(): string {
    return `${this.path}-quarantine`;
  }

  private get log(): string {
    return `${this.path}-wal`;
  }

  private get sealPath(): string {
    return `${this.path}-seal`;
  }

  /**
   * Looks at the file before it is used; of one that is damaged a new one is made, of all that can be read, and the damaged one is put
   * aside. RESULT_CORRUPT where nothing can be made of it.
   */
  async prepare(): Promise<void> {
    this.seal = await readSeal(this.sealPath);
    if ((await sizeOf(this.path)) > 0) await this.orRefuse(() => this.check());
    // A seal that does not check says so much as well.
    else if ((await sizeOf(this.sealPath, -1)) >= 0 || (await sizeOf(this.log)) > 0)
      throw this.refusal('is empty or gone, and it was not');
    this.report = await standingReport(this.quarantine);
  }

  private async check(): Promise<void> {
    const hasFailed = this.seal?.facts['has_failed'] === 1;
    const log = await this.faultInLog();
    if (log !== undefined) await this.setLogAside(log);
    // From here on SQLite may bring its log into the file, and take it away.
    if (this.seal?.state === 'open') await this.write('closed', log !== undefined || hasFailed);
    if ((await sizeOf(this.log)) > 0) await this.proveLog();
    const fault = await this.faultIn(log !== undefined || hasFailed);
    if (fault === undefined) return;
    const aside = await folderAside(this.quarantine);
    const mayLack = await rebuildFile(this.path, aside);
    const what = `The database ${this.path} was damaged (${fault}), and was made anew of what could be read at ${new Date().toISOString()}.`;
    if (mayLack) await writeReport(aside, `${what} The damaged file is in ${aside}.`);
    else await writeNote(aside, `${what} What could not be mended is told of each result.`);
  }

  /** What is wrong with the log of commits that are not in the file yet. */
  private async faultInLog(): Promise<string | undefined> {
    const state = await checkWal(this.log);
    if (state === 'damaged') return 'is damaged';
    if (state === 'absent' && this.seal?.state === 'open') return 'is gone';
    return undefined;
  }

  private async setLogAside(fault: string): Promise<void> {
    const aside = await folderAside(this.quarantine);
    await ifThere(copyFile(this.log, join(aside, basename(this.log)), constants.COPYFILE_FICLONE));
    await writeReport(
      aside,
      `${this.log} ${fault}: what was committed last before ${new Date().toISOString()} is lost.`,
    );
  }

  /**
   * Sees to it that the disk has what the log shows, before SQLite brings it into the file or writes behind it: a sync may have failed
   * of which nobody is left who knows.
   */
  private async proveLog(): Promise<void> {
    const knex = sqliteConnection(this.path);
    try {
      // Who else has the file open neither adds to the log meanwhile nor begins it anew.
      await knex.raw('BEGIN IMMEDIATE');
      await rewriteWal(this.log);
      await knex.raw('ROLLBACK');
    } finally {
      await knex.destroy();
    }
  }

  /** What SQLite finds in the file; where `isAll`, in all of it. */
  private async faultIn(isAll: boolean): Promise<string | undefined> {
    const knex = sqliteConnection(this.path);
    try {
      const tables = await knex.raw<{ name: string }[]>('SELECT name FROM sqlite_schema');
      const names = new Set(['sqlite_schema', ...tables.map(({ name }) => name)]);
      // A file that is none of ours, or that a start which was killed had only begun to make.
      if (!names.has('results')) return undefined;
      for (const table of isAll ? [undefined] : LOOKED_UP.filter((name) => names.has(name))) {
        const found = await problems(knex, table);
        if (found !== undefined) return found;
      }
      return undefined;
    } finally {
      await knex.destroy();
    }
  }

  /** Says that the file is in use, once its log has a commit: from then on it is missed where it is gone. */
  async opened(knex: Knex): Promise<void> {
    await knex('store').where({ id: 1 }).update({ id: 1 });
    this.isOpen = true;
    await this.write('open', false);
  }

  /** Says that SQLite has met damage: the next start looks at all of the file. */
  async failed(): Promise<void> {
    if (this.hasFailed || !this.isOpen) return;
    this.hasFailed = true;
    await this.write('open', true);
  }

  /** Says that the file was left as it should be. */
  async closed(): Promise<void> {
    if (this.isOpen) await this.write('closed', this.hasFailed);
  }

  private async write(state: Seal['state'], hasFailed: boolean): Promise<void> {
    const steps = this.isOpen ? MIGRATION_COUNT : (this.seal?.facts['steps'] ?? MIGRATION_COUNT);
    const facts = { steps, has_failed: hasFailed ? 1 : 0 };
    await writeSeal(this.sealPath, { state, files: {}, facts });
  }

  /** Runs a step of the start; a failure that only damage explains refuses the file. */
  async orRefuse<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (error instanceof StorageError) {
        // Knex takes a step that has another name for one of a newer version.
        const isKnown = (this.seal?.facts['steps'] ?? MIGRATION_COUNT + 1) <= MIGRATION_COUNT;
        if (!error.message.includes('newer optistore') || !isKnown) throw error;
        throw this.refusal('has lost track of its own version', error);
      }
      const code = codeOf(error) ?? '';
      const isForeign = this.seal === undefined && code !== 'SQLITE_CORRUPT' && code !== 'SQLITE_NOTADB';
      const isReadonly = code === 'SQLITE_READONLY' && !(await isWritable(this.path));
      if (PASSING.test(code) || isForeign || isReadonly) throw error;
      throw this.refusal(`can't be read: ${nativeMessage(error)}`, error);
    }
  }

  private refusal(what: string, cause?: unknown): StorageError {
    const { path } = this;
    return new StorageError(
      'RESULT_CORRUPT',
      `The database ${path} ${what}. Nothing of it was changed: restore it from a backup; or move ${path}, ${path}-wal and ${path}-seal aside, and \`optistore verify --repair\` brings back what the other store has.`,
      { cause },
    );
  }
}

async function sizeOf(path: string, ifGone = 0): Promise<number> {
  return (await ifThere(stat(path)))?.size ?? ifGone;
}

async function problems(knex: Knex, table: string | undefined): Promise<string | undefined> {
  try {
    const check = table === undefined ? 'PRAGMA integrity_check' : `PRAGMA integrity_check('${table}')`;
    const [first] = await knex.raw<{ integrity_check: string }[]>(check);
    return first?.integrity_check === 'ok' ? undefined : (first?.integrity_check ?? 'nothing is said');
  } catch (error) {
    if (codeOf(error) !== 'SQLITE_CORRUPT') throw error;
    return nativeMessage(error);
  }
}

async function isWritable(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
}
