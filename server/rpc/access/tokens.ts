import { timingSafeEqual } from 'node:crypto';
import { StorageError } from '../../errors.js';
import { TOKENS_POLL_MS } from '../../limits.js';
import type { Caller } from './caller.js';
import { hashOf, parseToken, readTokens, type StoredToken } from './token-file.js';

/** A caller who was let in. */
export interface Admission {
  readonly caller: Caller;
  /** Aborted with TOKEN_INVALID when the token is revoked or expires: streams end. */
  readonly revoked: AbortSignal;
}

/** A token, and what ends the streams of those who have it. */
interface Entry {
  readonly token: StoredToken;
  readonly hash: Buffer;
  readonly revocation: AbortController;
}

/** No token has this id: what is compared where there is none to compare with. */
const NOBODY = Buffer.alloc(32);

/**
 * The tokens that a daemon accepts. The file is looked at once a second: who is revoked there is out, with running streams.
 * A file that can't be used any more changes nothing, and is told.
 */
export class Tokens implements Disposable {
  private entries = new Map<string, Entry>();
  private readonly timer: NodeJS.Timeout;
  private lastFailure: string | undefined;

  /** TokenFileError where the file can't be used. */
  constructor(
    private readonly path: string,
    private readonly onFailure: (error: Error) => void = () => undefined,
  ) {
    this.load();
    this.timer = setInterval(() => this.refresh(), TOKENS_POLL_MS).unref();
  }

  /** How many there are. */
  get count(): number {
    return this.entries.size;
  }

  /** Reads the file again, as someone has asked for: gives whether it could be read, and tells a failure that was told already. */
  reload(): boolean {
    this.lastFailure = undefined;
    return this.refresh();
  }

  /** Reads the file again; gives whether it could be read. */
  refresh(): boolean {
    const isRead = this.tryLoad();
    for (const entry of this.entries.values())
      if (isExpired(entry.token)) entry.revocation.abort(invalidToken(EXPIRED));
    return isRead;
  }

  private tryLoad(): boolean {
    try {
      this.load();
      this.lastFailure = undefined;
      return true;
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      if (failure.message !== this.lastFailure) this.onFailure(failure);
      this.lastFailure = failure.message;
      return false;
    }
  }

  /** Whose call it is, by its `authorization`. TOKEN_INVALID. */
  admit(authorization: string | undefined): Admission {
    if (authorization === undefined || authorization === '')
      throw invalidToken('This daemon asks for a token, and the call has none');
    const presented = parseToken(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '');
    const entry = this.entries.get(presented?.id ?? '');
    const isSame = timingSafeEqual(hashOf(presented?.secret ?? ''), entry?.hash ?? NOBODY);
    if (entry === undefined || !isSame) throw invalidToken('The token is not known here, or it was revoked');
    if (isExpired(entry.token)) throw invalidToken(EXPIRED);
    const { name, scope, prefix } = entry.token;
    return { caller: { name, scope, prefix }, revoked: entry.revocation.signal };
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }

  private load(): void {
    const before = this.entries;
    this.entries = new Map(readTokens(this.path).map((token) => [token.id, this.entryOf(token, before)]));
    for (const [id, { revocation }] of before)
      if (this.entries.get(id)?.revocation !== revocation) revocation.abort(invalidToken('The token was revoked'));
  }

  /** The entry of before, where the token is the same in all that it allows. */
  private entryOf(token: StoredToken, before: ReadonlyMap<string, Entry>): Entry {
    const known = before.get(token.id);
    if (known !== undefined && JSON.stringify(known.token) === JSON.stringify(token)) return known;
    return { token, hash: Buffer.from(token.sha256, 'hex'), revocation: new AbortController() };
  }
}

const EXPIRED = 'The token has expired';

function isExpired({ expire_time }: StoredToken): boolean {
  return expire_time !== undefined && Date.parse(expire_time) <= Date.now();
}

function invalidToken(what: string): StorageError {
  return new StorageError(
    'TOKEN_INVALID',
    `${what}. Who runs the daemon makes one with \`optistore token create\`; clients take it from OPTISTORE_TOKEN.`,
  );
}
