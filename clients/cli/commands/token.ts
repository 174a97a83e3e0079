import { readConfig, ConfigError } from '../../../server/config.js';
import type { Scope } from '../../../server/rpc/access/caller.js';
import { print, printJson } from '../stdout.js';
import { createToken, readTokens, revokeToken } from '../../../server/rpc/access/token-file.js';

/** Where the tokens are. */
export interface TokenFlags {
  readonly tokens?: string;
  readonly config?: string;
  readonly json?: boolean;
}

/** What a new token allows. */
export interface NewTokenFlags extends TokenFlags {
  readonly scope: Scope;
  readonly prefix?: string;
  readonly expires?: number;
}

/** `optistore token create`: prints the token, which is kept nowhere in plain. */
export function create(name: string, flags: NewTokenFlags): void {
  const { scope, prefix = '', expires } = flags;
  const expireTime = expires === undefined ? undefined : new Date(Date.now() + expires);
  const token = createToken(fileOf(flags), { name, scope, prefix, ...(expireTime && { expireTime }) });
  if (flags.json)
    return printJson({ name, scope, prefix, token, ...(expireTime && { expireTime: expireTime.toISOString() }) });
  print(token);
  if (process.stderr.isTTY)
    process.stderr.write(
      'It is shown this once. Clients take it from OPTISTORE_TOKEN; the daemon knows it within a second.\n',
    );
}

/** `optistore token list`: never a secret. */
export function list(flags: TokenFlags): void {
  const tokens = readTokens(fileOf(flags)).map(({ id, name, scope, prefix, create_time, expire_time }) => ({
    ...{ id, name, scope, prefix, create_time },
    ...(expire_time === undefined ? {} : { expire_time }),
  }));
  if (flags.json) printJson(tokens);
  else
    for (const { id, name, scope, prefix, expire_time } of tokens)
      print(
        [
          id,
          name,
          scope,
          prefix === '' ? 'all keys' : prefix,
          expire_time === undefined ? 'does not expire' : `until ${expire_time}`,
        ].join('\t'),
      );
}

/** `optistore token revoke`: who has it is out within a second, with running streams. */
export function revoke(nameOrId: string, flags: TokenFlags): void {
  const { name, id } = revokeToken(fileOf(flags), nameOrId);
  if (flags.json) printJson({ name, id });
  else print(`revoked ${name} (${id})`);
}

/** The file that the flag names, else the configuration. ConfigError where neither does. */
function fileOf({ tokens, config }: TokenFlags): string {
  const path = tokens ?? readConfig({}, config, process.env).tokens;
  if (path !== undefined) return path;
  throw new ConfigError(
    'No file of tokens is configured. Name one with --tokens, OPTISTORE_TOKENS or `tokens` in optistore.yaml; the daemon needs it as well.',
  );
}
