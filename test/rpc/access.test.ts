import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, OptistoreError, type OptistoreClient } from '../../clients/typescript/index.js';
import { BackendState, Scope, StorageService } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { NewToken } from '../../server/rpc/access/token-file.js';
import { createToken, readTokens, revokeToken } from '../../server/rpc/access/token-file.js';
import { Tokens } from '../../server/rpc/access/tokens.js';
import { Folder, run, Running, until } from '../cli/cli.js';
import { MAIN, PROBLEM, TestDaemon } from './wire.js';

let folder: string;
let file: string;
let daemon: TestDaemon;
const tokens: Record<string, string> = {};
const clients: OptistoreClient[] = [];

function clientOf(token: string | undefined, address = daemon.address): OptistoreClient {
  const client = createClient({ address, token: token ?? '', retryMs: 100 });
  clients.push(client);
  return client;
}
const as = (name: string) => clientOf(tokens[name]);

function make(name: string, more: Partial<NewToken> = {}): string {
  return (tokens[name] = createToken(file, { name, scope: 'write', prefix: '', ...more }));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-access-'));
  file = join(folder, 'tokens.json');
  make('admin', { scope: 'admin' });
  make('writer');
  make('reader', { scope: 'read' });
  make('team', { prefix: 'team/' });
  make('team admin', { scope: 'admin', prefix: 'team/' });
  daemon = await TestDaemon.startWith({ tokens: file, socket: join(folder, 'socket') });
  for (const key of ['team/a', 'other/a']) await save(as('writer'), key);
});

afterAll(async () => {
  for (const client of clients) client.close();
  await daemon[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** What of a token is secret. It may have a `_` itself. */
function secretOf(token: string): string {
  const secret = token.slice('ost_0123456789ab_'.length);
  expect(secret).toHaveLength(43);
  return secret;
}

async function save(client: OptistoreClient, key: string) {
  const writer = await client.save(key, PROBLEM);
  await writer.append({ x: [1, 2], label: ['a', 'b'] });
  return await writer.commit();
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const refusal = (call: Promise<unknown>): Promise<string | undefined> =>
  call.then(
    () => 'served',
    (error: unknown) => (error instanceof OptistoreError ? error.reason : String(error)),
  );

/** A call of each rpc: its scope, and how it is made for a key. */
const CALLS: Record<string, [scope: string, call: (client: OptistoreClient, key: string) => Promise<unknown>]> = {
  saveResult: ['write', save],
  loadResult: ['read', (client, key) => client.load(key).toColumns()],
  getResult: ['read', (client, key) => client.getResult(key)],
  listResults: ['read', (client, key) => all(client.listResults({ prefix: key }))],
  updateResult: ['write', (client, key) => client.updateResult(key, { tags: { a: 'b' } })],
  copyResult: ['write', (client, key) => client.copyResult(key, `${key}-copy-${Math.random()}`)],
  putResultSet: ['write', (client, key) => client.putResultSet(key, 's', { rows: [0] })],
  deleteResultSet: [
    'write',
    async (client, key) => {
      await client.putResultSet(key, 'gone', { rows: [0] });
      await client.deleteResultSet(key, 'gone');
    },
  ],
  deleteResult: [
    'write',
    async (client, key) => {
      await save(client, `${key}-gone`);
      await client.deleteResult(`${key}-gone`);
    },
  ],
  migrateResult: [
    'write',
    (client, key) => all(client.migrate({ key }, { from: 'primary', to: 'cache', keepSource: true })),
  ],
  replicateResults: ['admin', (client, key) => all(client.replicate({ prefix: key }))],
  migrateStore: ['admin', (client) => all(client.migrateStore())],
  verifyResults: ['admin', (client, key) => all(client.verifyResults({ prefix: key }))],
  watchResults: [
    'read',
    async (client, key) => {
      const events = client.watch({ prefix: key, afterEvent: 0n });
      await events.next();
      await events.return();
    },
  ],
  listUploads: ['read', (client, key) => all(client.listUploads({ prefix: key }))],
  abortUpload: [
    'write',
    async (client, key) => {
      const writer = await client.save(`${key}-aborted`, PROBLEM);
      await writer.append({ x: [1], label: ['a'] });
      await writer.flush();
      await writer.close();
      await client.abortUpload(writer.uploadId);
    },
  ],
  getStatus: ['read', (client) => client.getStatus()],
};
/** What a daemon without a secondary says to those who may. */
const SERVED = new Set(['served', 'NO_SECONDARY']);

test('every rpc of the contract is among those that are checked here', () => {
  expect(Object.keys(CALLS).sort()).toEqual(Object.keys(StorageService.method).sort());
});

describe.each(Object.entries(CALLS))('%s', (_, [scope, call]) => {
  test('asks for a token', async () => {
    expect(await refusal(call(clientOf(undefined), 'team/a'))).toBe('TOKEN_INVALID');
    expect(await refusal(call(clientOf('ost_000000000000_'.padEnd(60, 'x')), 'team/a'))).toBe('TOKEN_INVALID');
    // The right id, and another secret.
    const forged = `${String(tokens['admin']).slice(0, -4)}AAAA`;
    expect(await refusal(call(clientOf(forged), 'team/a'))).toBe('TOKEN_INVALID');
  });

  test(`needs the scope ${scope}`, async () => {
    const scopes = { reader: 'read', writer: 'write', admin: 'admin' };
    const order = Object.values(scopes);
    for (const [name, has] of Object.entries(scopes)) {
      const answer = await refusal(call(as(name), 'team/a'));
      if (order.indexOf(has) >= order.indexOf(scope)) expect(SERVED).toContain(answer);
      else expect(answer).toBe('NOT_ALLOWED');
    }
  });
});

const WITHOUT_KEY = ['getStatus', 'migrateStore', 'abortUpload'];

test.each(Object.entries(CALLS).filter(([name]) => !WITHOUT_KEY.includes(name)))(
  '%s is for keys under the prefix of the token',
  async (_, [, call]) => {
    expect(SERVED).toContain(await refusal(call(as('team admin'), 'team/a')));
    expect(await refusal(call(as('team admin'), 'other/a'))).toBe('NOT_ALLOWED');
  },
);

describe('a token with a prefix', () => {
  test('sees only its own in lists, also where nothing is asked for', async () => {
    const keys = (await all(as('team').listResults())).map(({ key }) => key);
    expect(keys).toContain('team/a');
    expect(keys.filter((key) => !key.startsWith('team/'))).toEqual([]);
    expect(await refusal(all(as('team').listResults({ prefix: 'other/' })))).toBe('NOT_ALLOWED');
  });

  test('can neither copy to, nor abort, nor learn of what lies elsewhere', async () => {
    expect(await refusal(as('team').copyResult('team/a', 'other/b'))).toBe('NOT_ALLOWED');
    expect(await refusal(as('team').copyResult('other/a', 'team/b'))).toBe('NOT_ALLOWED');
    expect(await refusal(all(as('team admin').migrateStore()))).toBe('NOT_ALLOWED');
    const writer = await as('writer').save('other/secret', PROBLEM, { uploadId: 'theirs' });
    expect(await refusal(as('team').abortUpload('theirs'))).toBe('UPLOAD_NOT_FOUND');
    const taken = await as('team')
      .save('team/mine', PROBLEM, { uploadId: 'theirs' })
      .catch((error: unknown) => error);
    expect(taken).toMatchObject({ reason: 'UPLOAD_CONFLICT' });
    expect(String(taken)).not.toMatch(/other\/|secret/);
    await writer.close();
  });
});

test('a token with a prefix is told that a store failed; what failed, which may name keys and places, only one for all keys is', async () => {
  const connection_string = 'postgresql://127.0.0.1:1/place-of-others';
  await using own = await TestDaemon.startWith({ tokens: file, secondary: { type: 'database', connection_string } });
  const messages = async (name: string) => {
    const { backends } = await clientOf(tokens[name], own.address).getStatus();
    return backends.filter(({ state }) => state === BackendState.FAILED).map(({ message }) => message);
  };
  expect(await messages('reader')).toEqual([expect.stringContaining('place-of-others')]);
  expect(await messages('team')).toEqual(["A token for all keys is told what, and the daemon's log has it."]);
});

test('the status tells who asks what they may do, and nothing of the kind where no token is asked for', async () => {
  expect((await as('reader').getStatus()).caller).toMatchObject({ name: 'reader', scope: Scope.READ, prefix: '' });
  expect((await as('team').getStatus()).caller).toMatchObject({ name: 'team', prefix: 'team/' });
  await using open = await TestDaemon.start();
  expect((await clientOf(undefined, open.address).getStatus()).caller).toBeUndefined();
});

test('who saved a result is kept, by the name of the token', async () => {
  expect((await save(as('team'), 'team/by')).createdBy).toBe('team');
  const writer = await as('writer').save('team/open', PROBLEM);
  expect(await all(as('reader').listUploads({ prefix: 'team/open' }))).toMatchObject([{ createdBy: 'writer' }]);
  await writer.close();
});

test('a revoked token is out within seconds, with the streams that run', async () => {
  const client = clientOf(make('leaver', { scope: 'read' }));
  await until(
    () => refusal(client.getStatus()),
    (answer) => answer === 'served',
  );
  const watching = refusal(
    (async () => {
      for await (const event of client.watch({ afterEvent: 0n })) void event;
    })(),
  );
  revokeToken(file, 'leaver');
  expect(await watching).toBe('TOKEN_INVALID');
  expect(await refusal(client.getStatus())).toBe('TOKEN_INVALID');
  expect(await refusal(as('reader').getStatus())).toBe('served');
});

test('an expired token is refused', async () => {
  const client = clientOf(make('short', { expireTime: new Date(Date.now() - 1) }));
  expect(await refusal(client.getStatus())).toBe('TOKEN_INVALID');
});

test('the Unix socket needs no token: it is for the user of the daemon alone', async () => {
  const socket = join(folder, 'socket');
  expect((await stat(socket)).mode & 0o777).toBe(0o600);
  expect(await refusal(clientOf(undefined, `unix:${socket}`).getStatus())).toBe('served');
});

test.runIf(process.getuid?.() === 0)(
  'the Unix socket is closed to other users, also where its mode is not',
  async () => {
    const socket = join(folder, 'socket');
    await chmod(folder, 0o755);
    await chmod(socket, 0o777);
    const connect = `require('net').connect(process.argv[1]).on('data', () => process.exit(0)).on('close', () => process.exit(3))`;
    const other = spawnSync(process.execPath, ['-e', connect, socket], { uid: 65_534, gid: 65_534 });
    await chmod(socket, 0o600);
    expect(other.status).toBe(3);
    await until(
      () => daemon.process.log.join('\n'),
      (log) => log.includes('another user was refused'),
    );
  },
);

describe('on SIGHUP', () => {
  const hangUp = async (asked: TestDaemon, wanted: string): Promise<string> => {
    asked.process.log.length = 0;
    process.kill(asked.process.pid, 'SIGHUP');
    return await until(
      () => asked.process.log.join('\n'),
      (log) => log.includes(wanted),
    );
  };

  test('the log says of the tokens whether they could be read, each time', async () => {
    const own = join(folder, 'hung-up.json');
    createToken(own, { name: 'a', scope: 'read', prefix: '' });
    await using asked = await TestDaemon.startWith({ tokens: own });
    const whole = await readFile(own);
    await writeFile(own, '{ half');
    for (let i = 0; i < 2; i++) expect(await hangUp(asked, 'the tokens stay as they were')).not.toMatch(/read again/);
    await writeFile(own, whole);
    expect(await hangUp(asked, 'the tokens were read again')).not.toMatch(/certificate/);
  });

  test('the log says so where there is nothing to read', async () => {
    await using asked = await TestDaemon.start();
    expect(await hangUp(asked, 'nothing to read again')).not.toMatch(/were read again/);
  });
});

describe.runIf(process.getuid?.() === 0 && process.platform === 'linux')('a file of tokens that root changes', () => {
  const NOBODY = 65_534;
  const readAsNobody = (path: string) =>
    spawnSync(process.execPath, ['-e', `require('fs').readFileSync(process.argv[1])`, path], {
      ...{ uid: NOBODY, gid: NOBODY },
    }).status;

  /** A folder that the user of a daemon has. */
  async function folderOfNobody(): Promise<Folder> {
    const own = await Folder.make();
    await chown(own.path, NOBODY, NOBODY);
    return own;
  }

  test.each([
    ['its owner', NOBODY, NOBODY, 0o600],
    ['its group', 0, NOBODY, 0o640],
    ['anybody', 0, 0, 0o644],
  ])('can be read by the daemon of another user as before, by %s, whoever was revoked or added', async (...given) => {
    const [, uid, gid, mode] = given;
    await using own = await folderOfNobody();
    const path = own.at('tokens.json');
    createToken(path, { name: 'leaver', scope: 'read', prefix: '' });
    await chown(path, uid, gid);
    await chmod(path, mode);
    for (const act of [
      ['create', 'new', '--scope', 'read'],
      ['revoke', 'leaver'],
    ]) {
      expect(await run(['token', ...act, '--tokens', path])).toMatchObject({ code: 0 });
      const now = await stat(path);
      expect([now.uid, now.gid, now.mode & 0o777]).toEqual([uid, gid, mode]);
      expect(readAsNobody(path)).toBe(0);
    }
    expect(readTokens(path).map(({ name }) => name)).toEqual(['new']);
  });

  test('is, as the first, for the user who has the folder, and nobody else', async () => {
    await using own = await folderOfNobody();
    const path = own.at('tokens.json');
    await run(['token', 'create', 'first', '--scope', 'read', '--tokens', path]);
    const { uid, gid, mode } = await stat(path);
    expect([uid, gid, mode & 0o777]).toEqual([NOBODY, NOBODY, 0o600]);
  });

  test('stays as it was, and the command fails, where its owner could not be kept', async () => {
    await using own = await folderOfNobody();
    const path = own.at('tokens.json');
    createToken(path, { name: 'kept', scope: 'read', prefix: '' });
    await chown(path, NOBODY, NOBODY);
    const revoke = [process.execPath, MAIN, 'token', 'revoke', 'kept', '--tokens', path];
    await using running = Running.start(['--bounding-set=-chown', ...revoke], {}, 'setpriv');
    const { code, stdout, stderr } = await running.ended();
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(`for user ${NOBODY} and group ${NOBODY}`);
    expect(readTokens(path).map(({ name }) => name)).toEqual(['kept']);
    expect(await readdir(own.path)).toEqual(['tokens.json']);
  });
});

describe('a file of tokens', () => {
  test('is refused where others can write it, or it is damaged; the tokens of before stay', async () => {
    const own = join(folder, 'own.json');
    const token = createToken(own, { name: 'a', scope: 'read', prefix: '' });
    const failures: string[] = [];
    using known = new Tokens(own, ({ message }) => failures.push(message));
    await chmod(own, 0o666);
    known.refresh();
    await writeFile(own, '{ half', { mode: 0o600 });
    await chmod(own, 0o600);
    known.refresh();
    known.refresh();
    expect(failures).toEqual([expect.stringContaining('chmod 600'), expect.stringContaining('no file of tokens')]);
    expect(known.admit(`Bearer ${token}`).caller).toMatchObject({ name: 'a', scope: 'read' });
    await rm(own);
    known.refresh();
    expect(() => known.admit(`Bearer ${token}`)).toThrow('not known here');
  });

  test('has each name once, and prefixes that end with a slash', () => {
    const own = join(folder, 'names.json');
    const made = (more: Partial<NewToken>) => () => createToken(own, { name: 'a', scope: 'read', prefix: '', ...more });
    made({})();
    expect(made({})).toThrow('already');
    expect(made({ name: 'b', prefix: 'team' })).toThrow('ends with "/"');
    expect(made({ name: 'c\n' })).toThrow('control character');
    expect(() => revokeToken(own, 'nobody')).toThrow('no token "nobody"');
    expect(readTokens(own).map(({ name }) => name)).toEqual(['a']);
  });
});

describe('optistore token', () => {
  test('makes a token that works, lists it without its secret, and revokes it', async () => {
    const command = (...args: string[]) => run(['token', ...args, '--tokens', file]);
    const created = await command('create', 'by command', '--scope', 'read', '--prefix', 'team/', '--expires', '1d');
    expect(created).toMatchObject({ code: 0, stderr: '' });
    const token = created.stdout.trim();
    const env = { OPTISTORE_TOKEN: token, OPTISTORE_SERVER: daemon.address };
    await until(
      () => run(['show', 'team/a'], { env }),
      ({ code }) => code === 0,
    );
    const { stdout } = await command('list');
    expect(stdout).toMatch(/\tby command\tread\tteam\/\tuntil /);
    expect(stdout).not.toContain(secretOf(token));
    expect((await command('revoke', 'by command')).stdout).toMatch(/^revoked by command \(/);
    expect(await command('revoke', 'by command')).toMatchObject({ code: 1 });
  });

  test('says what to do where no file is configured', async () => {
    const { code, stderr } = await run(['token', 'list'], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toContain('--tokens, OPTISTORE_TOKENS');
  });
});
