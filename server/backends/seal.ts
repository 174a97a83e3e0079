import { open, readFile, rename } from 'node:fs/promises';
import { crc32 } from '../rows/checksum.js';
import { ifThere, syncDirectoryOf } from './files.js';

/** What a store in files says of itself beside them. */
export interface Seal {
  /** `open`: it is in use, or its process was killed. `closed`: its files are as listed. */
  readonly state: 'open' | 'closed';
  /** Lengths of its files when it was closed. */
  readonly files: Readonly<Record<string, number>>;
  /** What else it knows by then. */
  readonly facts: Readonly<Record<string, number>>;
}

const CRC_DIGITS = 8;

/** Reads a seal; undefined where there is none, or one that does not check: then nothing is known. */
export async function readSeal(path: string): Promise<Seal | undefined> {
  const text = await ifThere(readFile(path, 'utf8'));
  const rest = text?.slice(CRC_DIGITS + 1) ?? '';
  if (text === undefined || text.slice(0, CRC_DIGITS) !== digitsOf(rest)) return undefined;
  try {
    return JSON.parse(rest) as Seal;
  } catch {
    return undefined;
  }
}

/** Puts a seal in the place of the one before, durably. */
export async function writeSeal(path: string, seal: Seal): Promise<void> {
  const rest = JSON.stringify(seal);
  const temporary = `${path}.new`;
  {
    await using file = await open(temporary, 'w', 0o600);
    await file.writeFile(`${digitsOf(rest)}\n${rest}`);
    await file.sync();
  }
  await rename(temporary, path);
  await syncDirectoryOf(path);
}

function digitsOf(text: string): string {
  return crc32(Buffer.from(text)).toString(16).padStart(CRC_DIGITS, '0');
}
