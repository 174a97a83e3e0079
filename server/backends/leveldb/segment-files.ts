import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Removes files that nothing has: their deletion was cut off. */
export async function removeOrphans(
  folder: string,
  names: ReadonlySet<string>,
  openNumbers: ReadonlySet<number>,
): Promise<void> {
  for (const name of await readdir(folder))
    if (!names.has(name) && !openNumbers.has(numberOf(name))) await unlink(join(folder, name));
}

/** The greatest number that a file has: also one of an upload that an index has lost must not be used again. */
export async function greatestNumber(folder: string): Promise<number> {
  const numbers = (await readdir(folder)).map(numberOf).filter((number) => Number.isSafeInteger(number));
  return numbers.reduce((greatest, number) => Math.max(greatest, number), 0);
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10);
}
