import { createHash } from 'node:crypto';

/** Names of files have at most 255 bytes; some of them are left for an ending and for `.partial`. */
const NAME_BYTES_MAX = 200;
const KEPT_BYTES = 120;

/**
 * The path of a key's file in a folder: a folder for each segment but the last. No two keys have the same, none is hidden or leads out
 * of the folder, and none is a folder where another is a file. What a name may not hold on some system is `%XX`, as in a URL;
 * a segment that is too long ends in `~` and its hash instead.
 */
export function pathOfKey(key: string, ending: string): string {
  const segments = key.split('/');
  const name = segments.pop() ?? '';
  const folders = segments.map((segment) => withoutEnding(nameOf(segment), ending));
  return [...folders, `${notAsProblem(nameOf(name), ending)}.${ending}`].join('/');
}

/** The key of a file at a path, without its ending; `pathOfKey` read backwards, where the path is one of its own. */
export function keyOfPath(path: string): string {
  return path
    .replace(/\.[^./]+$/, '')
    .split('/')
    .map(decoded)
    .join('/');
}

function nameOf(segment: string): string {
  const name = encodeURIComponent(segment)
    .replace(/[!'()*~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/^\./, '%2E')
    .replace(/\.$/, '%2E');
  if (name.length <= NAME_BYTES_MAX) return name;
  const hash = createHash('sha256').update(segment).digest('hex').slice(0, 32);
  return `${name.slice(0, KEPT_BYTES).replace(/%[^%]?$/, '')}~${hash}`;
}

/** `a.csv/b` is a file in a folder, beside the file `a.csv` of the key `a`. */
function withoutEnding(folder: string, ending: string): string {
  return folder.endsWith(`.${ending}`) ? `${folder.slice(0, -ending.length - 1)}%2E${ending}` : folder;
}

/** `a.problem.json` is the problem of the tables `a`, for who imports it, and not the result `a.problem`. */
function notAsProblem(name: string, ending: string): string {
  return ending === 'json' ? name.replace(/\.problem$/, '%2Eproblem') : name;
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    // A name of someone else's, with a bare percent sign.
    return name;
  }
}
