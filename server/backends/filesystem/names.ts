import { createHash } from 'node:crypto';

const READABLE_LENGTH_MAX = 100;
const NUMBER_DIGITS = 8;

/**
 * The folder of a key or an upload: what of the text is safe in any file system, for people, and 128 bits of its SHA-256,
 * which tell apart what differs only in case, in Unicode form, or behind the first characters.
 */
export function folderName(text: string): string {
  const hash = createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 32);
  return `${readable(text)}-${hash}`;
}

/** Whether the key of a folder may begin with a prefix, by the folder's name alone. */
export function mayBegin(folder: string, prefix: string): boolean {
  return folder.startsWith(readable(prefix));
}

function readable(text: string): string {
  return text.slice(0, READABLE_LENGTH_MAX).replace(/[^A-Za-z0-9_-]/g, '_');
}

/** The name of a number in a folder that is sorted by name. */
export function numberName(number: number): string {
  return String(number).padStart(NUMBER_DIGITS, '0');
}

/** The number that a name stands for; undefined where it is another name. */
export function numberOf(name: string): number | undefined {
  return /^\d{8,15}$/.test(name) ? Number(name) : undefined;
}

/** The file of the n-th save whose rows a result has. */
export function rowFileName(index: number): string {
  return `rows-${String(index).padStart(5, '0')}.arrow`;
}

/** The checksums beside a file of rows. */
export function sidecarOf(rowFile: string): string {
  return rowFile.replace(/\.arrow$/, '.crc.json');
}
