import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Files that are not looked at: they have an upload, or may get one. */
export interface StandingFiles {
  /** Of uploads that were open at the start. */
  readonly openNumbers: ReadonlySet<number>;
  /** What was begun since has this number, or a greater one. */
  readonly firstNewNumber: number;
}

/** Removes files that nothing has: their deletion was cut off. */
export async function removeOrphans(
  folder: string,
  names: ReadonlySet<string>,
  { openNumbers, firstNewNumber }: StandingFiles,
): Promise<void> {
  for (const name of await readdir(folder)) {
    const number = numberOf(name);
    if (names.has(name) || openNumbers.has(number) || number >= firstNewNumber) continue;
    // Who removes a revision of its own may have been faster.
    await rm(join(folder, name), { force: true });
  }
}

/** The greatest number that a file has: also one of an upload that an index has lost must not be used again. */
export async function greatestNumber(folder: string): Promise<number> {
  const numbers = (await readdir(folder)).map(numberOf).filter((number) => Number.isSafeInteger(number));
  return numbers.reduce((greatest, number) => Math.max(greatest, number), 0);
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10);
}
