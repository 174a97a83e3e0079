import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dataFiles, liveFilesIn } from './check-files.js';
import { readLog } from './log-file.js';
import { parseBatch } from './write-batch.js';

/**
 * What the logs of a closed LevelDB say last of each key; undefined: it was deleted. LevelDB itself takes a log that can't be read
 * for one that ends there, opens, and removes it.
 */
export async function loggedEntries(folder: string): Promise<Map<string, Buffer | undefined>> {
  const entries = new Map<string, Buffer | undefined>();
  const files = await dataFiles(folder);
  const live = await liveFilesIn(folder, files);
  if (live === undefined) return entries;
  // Names have as many digits as it takes: in order of number, not of name.
  const logs = Object.keys(files).filter(
    (name) => name.endsWith('.log') && Number.parseInt(name, 10) >= live.logNumber,
  );
  for (const name of logs.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)))
    for (const { data, isWhole } of readLog(await readFile(join(folder, name))).records)
      if (isWhole) for (const { key, value } of parseBatch(data).entries) entries.set(key.toString(), value);
  return entries;
}
