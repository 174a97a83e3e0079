import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';
import { z } from 'zod';
import { parseConnectionString, withoutPassword } from './backends/database/connection-string.js';
import { isLoopback } from './loopback.js';

const require = createRequire(import.meta.url);

const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** A duration such as `24h`, in milliseconds. */
export const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'a duration such as 10m, 24h or 30d')
  .transform((text) => Number.parseInt(text, 10) * UNITS_MS[text.replace(/\d+/, '') as keyof typeof UNITS_MS]);
const INTERVAL_OR_OFF = 'off, or a duration such as 7d';
const interval = duration.refine((ms) => ms > 0, INTERVAL_OR_OFF);
const path = z.string().min(1);
const MEGABYTES = 'a number of MiB above 0';
const megabytes = z.coerce.number(MEGABYTES).positive(MEGABYTES);
const flag = z.union([z.boolean(), z.stringbool()], { error: 'true or false was expected' });
const hostAndPort = z
  .string()
  .refine(
    (text) => /^.+:\d{1,5}$/.test(text) && Number(/\d+$/.exec(text)?.[0]) <= 65535,
    'host:port, such as 127.0.0.1:50051',
  );
const HOST_NAMES = 'names such as results.example.org, each with or without a port';
const hostNames = z
  .union([z.array(z.string()), z.string().transform((text) => text.split(',').map((name) => name.trim()))], HOST_NAMES)
  .refine((names) => names.every((name) => /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i.test(name)), HOST_NAMES);
const connectionString = z.string().superRefine((text, context) => {
  try {
    parseConnectionString(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
  }
});

const quota = megabytes.exactOptional();
const store = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('leveldb'), path: z.string().min(1).default('./optistore-data'), quota_mb: quota }),
  z.strictObject({
    type: z.literal('filesystem'),
    base_path: z.string().min(1).default('./results_store'),
    quota_mb: quota,
  }),
  z.strictObject({ type: z.literal('memory'), max_memory_mb: megabytes.default(1024) }),
  z.strictObject({ type: z.literal('database'), connection_string: connectionString, quota_mb: quota }),
]);

/** The configuration; names, defaults and meanings are documented in docs/configuration.md. */
const ConfigSchema = z.strictObject({
  listen: hostAndPort.default('127.0.0.1:50051'),
  socket: path.optional(),
  web: z.union([z.literal('off'), hostAndPort], 'off, or host:port, such as 127.0.0.1:8080').default('off'),
  web_hosts: hostNames.default([]),
  tls_cert: path.optional(),
  tls_key: path.optional(),
  tls_client_ca: path.optional(),
  tokens: path.optional(),
  insecure: flag.default(false),
  primary: store.prefault({ type: 'leveldb' }),
  secondary: store.optional(),
  replication: z.enum(['none', 'async', 'sync']).default('none'),
  use_cache: flag.default(true),
  cache_size_mb: megabytes.default(100),
  cache_pinned_mb: megabytes.default(100),
  upload_ttl: duration.default(30 * UNITS_MS.d),
  stream_idle_timeout: duration.default(10 * UNITS_MS.m),
  scrub_interval: z.union([z.literal('off'), interval], INTERVAL_OR_OFF).default(7 * UNITS_MS.d),
  scrub_mb_per_second: megabytes.default(20),
  log_level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

/** The keys of the configuration, at its first level. */
export const CONFIG_KEYS = Object.keys(ConfigSchema.shape);

/** What the daemon runs with. */
export type Config = z.infer<typeof ConfigSchema>;

/** Settings of one source, nested as in the file. */
export type Settings = { [key: string]: string | boolean | null | undefined | Settings };

/** Something in the configuration is wrong; the message names the source, the field and what was expected. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Without a type, a store is LevelDB. */
const DEFAULTS: Settings = { primary: { type: 'leveldb' } };
const DEFAULT_FILE = 'optistore.yaml';

/** Reads the configuration: flags beat variables, variables beat the file. ConfigError. */
export function readConfig(flags: Settings, file: string | undefined, environment: NodeJS.ProcessEnv): Config {
  const merged = merge(merge(merge(DEFAULTS, fromFile(file)), fromEnvironment(environment)), flags);
  const parsed = ConfigSchema.safeParse(merged);
  if (!parsed.success) {
    const lines = parsed.error.issues.map(({ path, message }) => `${placeOf(path, merged, environment)}: ${message}`);
    throw new ConfigError(`The configuration is wrong. ${lines.join('; ')}. See docs/configuration.md.`);
  }
  checkStores(parsed.data);
  checkAddresses(parsed.data);
  return parsed.data;
}

/** The name of a field, and of the variable that has its value. */
function placeOf(path: readonly PropertyKey[], settings: Settings, environment: NodeJS.ProcessEnv): string {
  const name = path.join('.') || 'configuration';
  const variable = `OPTISTORE_${path.join('_').toUpperCase()}`;
  const value = path.reduce<Settings[string]>((at, key) => (isMapping(at) ? at[String(key)] : undefined), settings);
  return value !== undefined && value === environment[variable] ? `${name} (${variable})` : name;
}

/** What others can reach is encrypted and asks for tokens, unless it is meant otherwise. */
function checkAddresses({ listen, web, insecure, tls_cert, tls_key, tls_client_ca, tokens }: Config): void {
  if ((tls_cert === undefined) !== (tls_key === undefined))
    throw new ConfigError('tls_cert and tls_key go together, and one of them is not there.');
  if (tls_client_ca !== undefined && tls_cert === undefined)
    throw new ConfigError('tls_client_ca asks clients for certificates, which needs tls_cert and tls_key.');
  if (insecure || (tls_cert !== undefined && tokens !== undefined)) return;
  const lacking = tls_cert === undefined ? 'the traffic is not encrypted' : 'nobody is asked for a token';
  for (const [key, address] of Object.entries({ listen, web })) {
    if (address === 'off' || isLoopback(address)) continue;
    throw new ConfigError(
      `${key} is ${address}, which others can reach, and ${lacking}. Use 127.0.0.1; or configure tls_cert, tls_key and tokens; or say --insecure if that is meant.`,
    );
  }
}

/** What of two stores no single field tells. */
function checkStores({ primary, secondary, replication }: Config): void {
  if (secondary === undefined) {
    if (replication === 'none') return;
    throw new ConfigError(
      `replication is ${replication}, but there is no secondary. Configure one, or leave replication out.`,
    );
  }
  if (JSON.stringify(primary) === JSON.stringify(secondary) && primary.type !== 'memory')
    throw new ConfigError(
      'primary and secondary are the same store. The secondary is a backup: give it a place of its own.',
    );
}

/** A store's configuration as it may be logged: without passwords. */
export function loggable(store: Config['primary']): Config['primary'] {
  return store.type === 'database' ? { ...store, connection_string: withoutPassword(store.connection_string) } : store;
}

function fromFile(file: string | undefined): Settings {
  const path = file ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined);
  if (path === undefined) return {};
  try {
    const settings: unknown = fromYaml(readFileSync(path, 'utf8')) ?? {};
    if (typeof settings === 'object' && !Array.isArray(settings)) return settings as Settings;
    throw new Error('it is not a mapping of names to values');
  } catch (error) {
    throw new ConfigError(`${path} can't be used: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** Reads YAML. An error tells the place and the kind of what is wrong, and none of the text: a line may have a password. */
function fromYaml(text: string): unknown {
  // Most daemons have no file: they start without it.
  const { LineCounter, parseDocument } = require('yaml') as typeof Yaml;
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    const kind = error.code.toLowerCase().replaceAll('_', ' ');
    throw notYaml(`at line ${line}, column ${col} (${kind})`);
  }
  try {
    return document.toJS();
  } catch {
    throw notYaml('where a value begins with *');
  }
}

function notYaml(where: string): Error {
  return new Error(
    `it is no sound YAML ${where}. Expected: indented by spaces, each name once, and quotes around texts with ": " or " #", or a special character first.`,
  );
}

/** `OPTISTORE_PRIMARY_PATH` is `primary.path`: each key of the schema has its variable. */
function fromEnvironment(environment: NodeJS.ProcessEnv): Settings {
  const settings: Settings = {};
  for (const key of CONFIG_KEYS) {
    if (key === 'primary' || key === 'secondary') continue;
    settings[key] = environment[`OPTISTORE_${key.toUpperCase()}`];
  }
  settings['primary'] = storeFrom(environment, 'PRIMARY');
  const secondary = storeFrom(environment, 'SECONDARY');
  if (Object.values(secondary).some((value) => value !== undefined)) settings['secondary'] = secondary;
  return settings;
}

function storeFrom(environment: NodeJS.ProcessEnv, role: 'PRIMARY' | 'SECONDARY'): Settings {
  return {
    type: environment[`OPTISTORE_${role}_TYPE`],
    path: environment[`OPTISTORE_${role}_PATH`],
    base_path: environment[`OPTISTORE_${role}_BASE_PATH`],
    max_memory_mb: environment[`OPTISTORE_${role}_MAX_MEMORY_MB`],
    connection_string: environment[`OPTISTORE_${role}_CONNECTION_STRING`],
    quota_mb: environment[`OPTISTORE_${role}_QUOTA_MB`],
  };
}

function merge(under: Settings, over: Settings): Settings {
  const merged = { ...under };
  for (const [key, value] of Object.entries(over)) {
    // YAML reads a key with nothing behind it as null: what stood there was commented out.
    if (value === undefined || value === null) continue;
    const below = merged[key];
    merged[key] = isMapping(value) ? merge(isMapping(below) ? below : {}, value) : value;
  }
  return merged;
}

function isMapping(value: Settings[string]): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
