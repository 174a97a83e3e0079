import { createHash } from 'node:crypto';
import { StorageError } from '../errors.js';
import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, UPLOAD_ID_PATTERN } from '../limits.js';
import { invalid, isKey } from '../manager/validate.js';

/** The size of a page: the default for 0. REQUEST_INVALID above the limit. */
export function pageSizeOf(asked: number): number {
  if (asked > PAGE_SIZE_MAX)
    throw invalid(`page_size is ${asked}; at most ${PAGE_SIZE_MAX} is possible. Ask for less, and for more pages`);
  return asked === 0 ? PAGE_SIZE_DEFAULT : asked;
}

/** A token for the page behind `place`; good only with the same query. */
export function pageToken(query: unknown, place: readonly string[]): string {
  return Buffer.from(JSON.stringify([fingerprint(query), ...place])).toString('base64url');
}

/** The place that a token names; undefined for the first page. PAGE_TOKEN_INVALID, also where `isPlace` says so. */
export function placeOf<Place extends readonly string[]>(
  query: unknown,
  token: string,
  isPlace: (place: readonly string[]) => place is Place,
): Place | undefined {
  if (token === '') return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (Array.isArray(parts) && parts.every((part) => typeof part === 'string')) {
      const [mark, ...place] = parts;
      if (mark === fingerprint(query) && isPlace(place)) return place;
    }
  } catch {
    // Not a token of ours: as any other that is wrong.
  }
  throw new StorageError(
    'PAGE_TOKEN_INVALID',
    'The page_token is not one that this list gave. Repeat the query of the page that gave it, or begin with an empty one.',
  );
}

/** The place of a result: its key, and its time in nanoseconds. */
export function isResultPlace(prefix: string): (place: readonly string[]) => place is [key: string, time: string] {
  return (place): place is [string, string] => {
    const [key = '', time = ''] = place;
    return place.length === 2 && isKey(key) && key.startsWith(prefix) && /^\d{1,20}$/.test(time);
  };
}

/** The place of an upload: its id. */
export function isUploadPlace(place: readonly string[]): place is [uploadId: string] {
  return place.length === 1 && UPLOAD_ID_PATTERN.test(place[0] ?? '');
}

function fingerprint(query: unknown): string {
  return createHash('sha256').update(JSON.stringify(query)).digest('base64url').slice(0, 12);
}
