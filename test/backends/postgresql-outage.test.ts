import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabaseBackend } from '../../server/backends/database/database-backend.js';
import { StorageError } from '../../server/errors.js';
import { PASSWORD, PostgresServer } from './postgres.js';
import { all, asText, commit, lineRows, load, RUNNING, save, uploadSpec } from './runs.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

/** What an act fails with, and that it says so without the password. */
async function failure(act: Promise<unknown>): Promise<StorageError> {
  const error = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StorageError);
  for (const secret of [PASSWORD, encodeURIComponent(PASSWORD)])
    expect((error as StorageError).message).not.toContain(secret);
  return error as StorageError;
}

const list = { prefix: '', filter: undefined, orderBy: 'key', descending: false } as const;

test('calls fail while the server is down, say so, and go on when it is back; nothing is lost or half-written', async () => {
  await using backend = await openDatabaseBackend({ connection_string: await server.createDatabase() });
  await save(backend, 'before', [lineRows(0, 100_000)]);
  await using upload = await backend.openUpload(uploadSpec('k', 'u'));
  await upload.append(lineRows(0, 10));
  await upload.sync();
  await server.down();
  await upload.append(lineRows(10, 10));
  const calls = [
    upload.sync(),
    backend.stat('before'),
    save(backend, 'during', []),
    all(backend.list(list, RUNNING)),
    backend.delete('before', undefined),
  ];
  for (const error of await Promise.all(calls.map(failure))) {
    expect(error.reason).toBe('BACKEND_UNAVAILABLE');
    expect(error.message).toMatch(/database postgresql:\/\/optistore@127\.0\.0\.1:\d+\/test_\d+ can't be reached/);
  }
  expect(upload.lost.reason).toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
  expect((await backend.stats()).failure).toContain("can't be reached");
  await server.up();
  expect((await backend.stats()).failure).toBeUndefined();
  expect((await all(backend.list(list, RUNNING))).map(({ key }) => key)).toEqual(['before']);
  expect(asText(await load(backend, await backend.stat('before')))).toEqual(asText(lineRows(0, 100_000)));
  await using again = await backend.openUpload(uploadSpec('k', 'u'));
  expect(again.nextRow).toBe(10);
  await again.append(lineRows(10, 10));
  expect(asText(await load(backend, await commit(again)))).toEqual(asText(lineRows(0, 20)));
});

test('a server that is stopped at any moment of saves loses nothing that was acknowledged', async () => {
  const url = await server.createDatabase();
  await using backend = await openDatabaseBackend({ connection_string: url });
  const committed: string[] = [];
  for (let round = 0; round < 4; round++) {
    const saves = Array.from({ length: 12 }, async (_, i) => {
      const key = `${round}/${i}`;
      await save(backend, key, [lineRows(0, 20_000 + i)]);
      committed.push(key);
    });
    const settled = Promise.allSettled(saves);
    // Somewhere among them.
    const enough = committed.length + round * 3;
    while (committed.length < enough) await setTimeout(1);
    await server.down();
    await settled;
    await server.up();
  }
  const found = await all(backend.list(list, RUNNING));
  expect(found.map(({ key }) => key)).toEqual(expect.arrayContaining(committed));
  for (const manifest of found) {
    const rows = lineRows(0, Number(manifest.rowCount));
    expect(asText(await load(backend, manifest))).toEqual(asText(rows));
  }
  const figures = await backend.stats();
  expect(figures.resultCount).toBe(found.length);
});

test('a store whose server is down opens, and works when the server is there', async () => {
  const connection_string = await server.createDatabase();
  await server.down();
  await using backend = await openDatabaseBackend({ connection_string });
  expect((await failure(backend.stat('k'))).reason).toBe('BACKEND_UNAVAILABLE');
  await server.up();
  expect((await save(backend, 'k', [lineRows(0, 3)])).revision).toBe(1n);
});

test('a wrong password and a database that is not there are said, without the password', async () => {
  const right = await server.createDatabase();
  const wrong = new URL(right);
  wrong.password = 'guess';
  await using refused = await openDatabaseBackend({ connection_string: wrong.href });
  const error = await failure(refused.stat('k'));
  expect(error).toMatchObject({ reason: 'BACKEND_UNAVAILABLE' });
  expect(error.message).toMatch(/password authentication failed/);
  expect(error.message).not.toContain('guess');
  await using absent = await openDatabaseBackend({ connection_string: server.url('absent') });
  expect((await failure(absent.stat('k'))).message).toMatch(/database "absent" does not exist/);
});
