import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, fchownSync, fstatSync, fsyncSync, openSync, readFileSync } from 'node:fs';
import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { SCOPES, type Caller } from './caller.js';

const time = z.iso.datetime();
const TokenSchema = z.strictObject({
  /** Names it in the file and in the token itself; no secret. */
  id: z.string().regex(/^[0-9a-f]{12}$/),
  name: z.string().regex(/^[^\p{Cc}]{1,128}$/u, 'a name has 1 to 128 characters, none of them a control character'),
  scope: z.enum(SCOPES),
  prefix: z
    .string()
    .refine(
      (prefix) => prefix === '' || (prefix.endsWith('/') && !prefix.startsWith('/')),
      'a prefix ends with "/", such as team/: "team" alone would open "team2/…" as well',
    ),
  /** Of the token's secret. It has 256 bits of chance: nobody finds it from this, however fast they hash. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  create_time: time,
  /** Absent: never. */
  expire_time: time.optional(),
});
const FileSchema = z.strictObject({ tokens: z.array(TokenSchema) });

/** A token as it is kept: hashed. */
export type StoredToken = z.infer<typeof TokenSchema>;

/** What a new token allows. */
export interface NewToken extends Caller {
  readonly expireTime?: Date;
}

/** The file of tokens can't be used; the message says why and what to do. */
export class TokenFileError extends Error {
  override readonly name = 'TokenFileError';
}

/** `ost_ID_SECRET`: easy to tell in a leak, and found in the file by its id. */
const TOKEN_PATTERN = /^ost_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/;

/** The id and the secret of a token; undefined where it is none. */
export function parseToken(text: string): { id: string; secret: string } | undefined {
  const [, id, secret] = TOKEN_PATTERN.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** What is kept of a secret, as bytes. */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** The tokens of a file; none where it is not there. TokenFileError. */
export function readTokens(path: string): StoredToken[] {
  let text: string;
  try {
    if ((statSync(path).mode & 0o022) !== 0)
      throw new TokenFileError(`${path} can be written by others than its owner. Say \`chmod 600 ${path}\`.`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error instanceof TokenFileError
      ? error
      : new TokenFileError(`${path} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    return FileSchema.parse(JSON.parse(text)).tokens;
  } catch (error) {
    throw new TokenFileError(
      `${path} is no file of tokens: ${error instanceof z.ZodError ? z.prettifyError(error) : String(error)}. Restore it, or move it away and make the tokens anew with \`optistore token create\`.`,
      { cause: error },
    );
  }
}

/** Makes a token and adds it to the file, durably; gives it in plain, which is kept nowhere. TokenFileError. */
export function createToken(path: string, { name, scope, prefix, expireTime }: NewToken): string {
  const id = randomBytes(6).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  const parsed = TokenSchema.safeParse({
    ...{ id, name, scope, prefix, sha256: hashOf(secret).toString('hex'), create_time: new Date().toISOString() },
    ...(expireTime && { expire_time: expireTime.toISOString() }),
  });
  if (!parsed.success) throw new TokenFileError(parsed.error.issues.map(({ message }) => message).join('; '));
  changeTokens(path, (tokens) => {
    if (tokens.some((token) => token.name === name))
      throw new TokenFileError(`There is a token "${name}" already. Revoke it first, or choose another name.`);
    return [...tokens, parsed.data];
  });
  return `ost_${id}_${secret}`;
}

/** Takes a token out of the file, by its name or id; gives what it was. TokenFileError where there is none. */
export function revokeToken(path: string, nameOrId: string): StoredToken {
  let revoked: StoredToken | undefined;
  changeTokens(path, (tokens) => {
    revoked = tokens.find(({ name, id }) => name === nameOrId || id === nameOrId);
    return tokens.filter((token) => token !== revoked);
  });
  if (revoked === undefined)
    throw new TokenFileError(`There is no token "${nameOrId}". \`optistore token list\` shows those that there are.`);
  return revoked;
}

/**
 * Gives the new file the owner, group and mode of the one in whose place it goes: a daemon of another user than who runs this
 * would be locked out of it, and go on with the tokens of before. A first file that root makes is for the user who has the
 * folder. TokenFileError where the system does not allow it.
 */
function letInTheSame(file: number, path: string): void {
  const before = statSync(path, { throwIfNoEntry: false });
  const now = fstatSync(file);
  const { uid, gid } = before ?? (process.getuid?.() === 0 ? statSync(dirname(path)) : now);
  try {
    if (uid !== now.uid || gid !== now.gid) fchownSync(file, uid, gid);
    // Of the file before, readTokens sees to it that others can't write it.
    if (before !== undefined) fchmodSync(file, before.mode & 0o777);
  } catch (error) {
    throw new TokenFileError(
      `${path} is for user ${uid} and group ${gid}, and a new one can't be given to them: ${error instanceof Error ? error.message : String(error)}. Nothing was changed: run this as that user, or as root.`,
      { cause: error },
    );
  }
}

/** Writes the file anew; one process at a time. */
function changeTokens(path: string, change: (tokens: StoredToken[]) => StoredToken[]): void {
  const next = `${path}.new`;
  let file: number;
  try {
    file = openSync(next, 'wx', 0o600);
  } catch (error) {
    throw new TokenFileError(
      `${next} can't be made: ${error instanceof Error ? error.message : String(error)}. Where another \`optistore token\` was broken off, remove that file.`,
      { cause: error },
    );
  }
  try {
    letInTheSame(file, path);
    writeFileSync(file, `${JSON.stringify({ tokens: change(readTokens(path)) }, undefined, 2)}\n`);
    fsyncSync(file);
    renameSync(next, path);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  const folder = openSync(dirname(path), 'r');
  fsyncSync(folder);
  closeSync(folder);
}
