import { isAbsolute } from 'node:path';

/** What the system says of files that people name. */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'may not be used by this user. Check who owns it and its mode.',
  EISDIR: 'is a folder, where a file was expected. Name a file in it.',
  ENOTDIR: 'is no folder, or lies below what is none. Check the path.',
};

/** What the system refused, in words for people; undefined where it was nothing of a file, or something that has no other word. */
export function fileError(error: unknown): string | undefined {
  if (!(error instanceof Error && 'code' in error && 'path' in error)) return undefined;
  const { code, path } = error;
  if (typeof path !== 'string' || typeof code !== 'string') return undefined;
  if (code === 'ENOENT')
    return `${path} is not there. Check the path${isAbsolute(path) ? '' : ` (in ${process.cwd()})`}.`;
  const words = Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
  return words === undefined ? undefined : `${path} ${words}`;
}
