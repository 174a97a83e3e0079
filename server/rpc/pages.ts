import { createHash } from 'node:crypto';
import { StorageError } from '../errors.js';
import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX } from '../limits.js';
import { invalid } from '../manager/validate.js';

/** The size of a page: the default for 0. REQUEST_INVALID above the limit. */
export function pageSizeOf(asked: number): number {
  if (asked > PAGE_SIZE_MAX) throw invalid(`page_size is ${asked}; at most ${PAGE_SIZE_MAX} is possible`);
  return asked === 0 ? PAGE_SIZE_DEFAULT : asked;
}

/** A token for the page behind `place`; good only with the same query. */
export function pageToken(query: unknown, place: readonly string[]): string {
  return Buffer.from(JSON.stringify([fingerprint(query), ...place])).toString('base64url');
}

/** The place that a token names; undefined for the first page. PAGE_TOKEN_INVALID. */
export function placeOf(query: unknown, token: string): string[] | undefined {
  if (token === '') return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (Array.isArray(parts) && parts.length > 1 && parts.every((part) => typeof part === 'string')) {
      const [mark, ...place] = parts;
      if (mark === fingerprint(query)) return place;
    }
  } catch {
    // Not a token of ours: as any other that is wrong.
  }
  throw pageTokenInvalid();
}

/** A time of a place, as it stands in a token. PAGE_TOKEN_INVALID. */
export function timeOf(text: string | undefined): bigint {
  if (text === undefined || !/^\d{1,20}$/.test(text)) throw pageTokenInvalid();
  return BigInt(text);
}

function pageTokenInvalid(): StorageError {
  return new StorageError(
    'PAGE_TOKEN_INVALID',
    'The page_token is not one that this list gave. Repeat the query of the page that gave it, or begin with an empty one.',
  );
}

function fingerprint(query: unknown): string {
  return createHash('sha256').update(JSON.stringify(query)).digest('base64url').slice(0, 12);
}
