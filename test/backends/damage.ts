import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { knex, type Knex } from 'knex';
import { Level } from 'level';
import { folderName } from '../../server/backends/filesystem/names.js';

/** Flips a bit in what a LevelDB store, which is closed, keeps of a key besides its rows. */
export async function damageLeveldbEntry(path: string, key: string): Promise<void> {
  const level = new Level<string, Uint8Array>(join(path, 'index'), { valueEncoding: 'view' });
  const value = await level.get(`current\0${key}`);
  if (value === undefined) throw new Error(`the store has no "${key}"`);
  value[20] = (value[20] ?? 0) ^ 1;
  await level.put(`current\0${key}`, value);
  await level.close();
}

/** Damages the manifest of a key in a database. */
export async function damageDatabaseEntry(config: Knex.Config, key: string): Promise<void> {
  const database = knex(config);
  try {
    const manifest = Buffer.from([255, 255]);
    if ((await database('results').where({ key }).update({ manifest })) !== 1) throw new Error(`there is no "${key}"`);
  } finally {
    await database.destroy();
  }
}

/** Flips a bit in the newest result.json of a key, under each of its names. */
export async function damageFilesystemEntry(basePath: string, key: string): Promise<void> {
  const folder = join(basePath, 'results', folderName(key));
  const slots = (await readdir(folder)).filter((name) => /^\d+$/.test(name)).sort();
  await using file = await open(join(folder, slots.at(-1) ?? '', 'result.json'), 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 100);
  await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, 100);
}
