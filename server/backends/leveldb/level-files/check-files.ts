import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere } from '../../files.js';
import type { Seal } from '../../seal.js';
import { readLog, type LogContent } from './log-file.js';
import { isTableWhole } from './table-file.js';
import { parseBatch } from './write-batch.js';
import { liveFilesOf, type LiveFiles } from './version-edits.js';

/** What is wrong with LevelDB's files, by what they say of themselves and of each other. */
export interface FileDamage {
  /** Files that do not check, or are not there. */
  readonly files: readonly string[];
  /** Logs that hold what does not check, and what they hold. */
  readonly logs: ReadonlyMap<string, LogContent>;
  /** LevelDB itself has to find out anew which files it has. */
  readonly needsRepair: boolean;
  /** What was in a file is gone with it. */
  readonly mayLack: boolean;
}

const LOG = /^(\d+)\.log$/;
const TABLE = /^(\d+)\.(?:ldb|sst)$/;
const MANIFEST = /^MANIFEST-\d+$/;

/** Names and lengths of the files that are LevelDB's data. */
export async function dataFiles(folder: string): Promise<Record<string, number>> {
  const names = (await ifThere(readdir(folder))) ?? [];
  const files: Record<string, number> = {};
  for (const name of names.sort())
    if (name === 'CURRENT' || MANIFEST.test(name) || LOG.test(name) || TABLE.test(name))
      files[name] = (await stat(join(folder, name))).size;
  return files;
}

/**
 * Reads what LevelDB would trust without looking: it passes over what does not check in its logs, and never checks its tables. A seal
 * that was made when the store was closed tells also what was cut off. Undefined: all is well. `isSkipped`: see isTableWhole.
 */
export async function checkFiles(
  folder: string,
  seal: Seal | undefined,
  isSkipped: (from: string, to: string) => boolean,
): Promise<FileDamage | undefined> {
  const checking = new Checking(folder, await dataFiles(folder), seal?.state === 'closed' ? seal.files : undefined);
  return checking.run(isSkipped);
}

class Checking {
  private readonly bad = new Set<string>();
  private readonly logs = new Map<string, LogContent>();
  private needsRepair = false;
  private mayLack = false;

  constructor(
    private readonly folder: string,
    private readonly files: Readonly<Record<string, number>>,
    private readonly sealed: Readonly<Record<string, number>> | undefined,
  ) {}

  async run(isSkipped: (from: string, to: string) => boolean): Promise<FileDamage | undefined> {
    this.compareLengths();
    const live = await this.liveFiles();
    if (live === undefined) this.needsRepair = true;
    for (const name of Object.keys(this.files)) {
      const [, log] = LOG.exec(name) ?? [];
      const [, table] = TABLE.exec(name) ?? [];
      if (log !== undefined && Number(log) >= (live?.logNumber ?? 0)) await this.checkLog(name, live === undefined);
      if (table !== undefined && (live === undefined || live.tables.has(Number(table)))) {
        if (await isTableWhole(join(this.folder, name), live?.tables.get(Number(table)), isSkipped)) continue;
        this.bad.add(name);
        this.needsRepair = this.mayLack = true;
      }
    }
    if (live !== undefined) this.checkPresence(live);
    // Which log there was, nothing tells.
    else if (!Object.keys(this.files).some((name) => LOG.test(name))) this.mayLack = true;
    const { bad, logs, needsRepair, mayLack } = this;
    return bad.size === 0 && !needsRepair ? undefined : { files: [...bad], logs, needsRepair, mayLack };
  }

  private compareLengths(): void {
    for (const [name, length] of Object.entries(this.sealed ?? {})) {
      const now = this.files[name];
      if (now === length) continue;
      this.bad.add(name);
      // A log that grew is looked at: see checkLog.
      if (now === undefined || now < length) this.mayLack ||= LOG.test(name) || TABLE.test(name);
      if (!LOG.test(name)) this.needsRepair = true;
    }
  }

  /** `isSuspect`: other files are damaged as well, so that an end that does not check is no write that was not finished. */
  private async checkLog(name: string, isSuspect: boolean): Promise<void> {
    const content = readLog(await readFile(join(this.folder, name)));
    const isEndBad = !content.endsClean && (isSuspect || this.sealed !== undefined);
    const isStrange = content.records.some(({ data, isWhole }) => isWhole && parseBatch(data).rest.byteLength > 0);
    if (!content.hasGap && !isEndBad && !isStrange && content.records.every((record) => record.isWhole)) return;
    this.bad.add(name);
    this.logs.set(name, content);
    // What was only added to a log is no loss.
    const isShort = content.wholeBytes < (this.sealed?.[name] ?? Infinity);
    if (content.hasGap || isStrange || (isEndBad && isShort)) this.mayLack = true;
  }

  /** What CURRENT and its MANIFEST say; undefined where they can't be trusted. */
  private async liveFiles(): Promise<LiveFiles | undefined> {
    const name = await currentManifest(this.folder);
    if (name === undefined || this.files[name] === undefined) {
      this.bad.add('CURRENT');
      return undefined;
    }
    const live = this.bad.has(name) ? undefined : await readManifest(join(this.folder, name));
    if (live === undefined) this.bad.add(name);
    return live;
  }

  /** What the MANIFEST speaks of must be there; where the end of the MANIFEST is gone, the log of its last words is gone too. */
  private checkPresence({ logNumber, tables }: LiveFiles): void {
    const numbers = (pattern: RegExp) =>
      Object.keys(this.files).flatMap((name) => (pattern.test(name) ? [Number(pattern.exec(name)?.[1])] : []));
    const [logs, there] = [numbers(LOG), numbers(TABLE)];
    for (const number of tables.keys())
      if (!there.includes(number)) {
        this.bad.add(`${String(number).padStart(6, '0')}.ldb`);
        this.needsRepair = this.mayLack = true;
      }
    if (logNumber === 0 || logs.includes(logNumber)) return;
    this.bad.add(`${String(logNumber).padStart(6, '0')}.log`);
    this.mayLack = true;
    if (there.some((number) => !tables.has(number))) this.needsRepair = true;
  }
}

async function currentManifest(folder: string): Promise<string | undefined> {
  const current = await ifThere(readFile(join(folder, 'CURRENT'), 'latin1'));
  return /^(MANIFEST-\d+)\n$/.exec(current ?? '')?.[1];
}

async function readManifest(path: string): Promise<LiveFiles | undefined> {
  const { records, hasGap, endsClean } = readLog(await readFile(path));
  if (hasGap || !endsClean || records.length === 0 || !records.every(({ isWhole }) => isWhole)) return undefined;
  try {
    return liveFilesOf(records.map(({ data }) => data));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return undefined;
  }
}

/** Which of its files LevelDB uses; undefined where what says so can't be trusted. */
export async function liveFilesIn(
  folder: string,
  files: Readonly<Record<string, number>>,
): Promise<LiveFiles | undefined> {
  const name = await currentManifest(folder);
  return name === undefined || files[name] === undefined ? undefined : readManifest(join(folder, name));
}
