import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { dice } from '../rpc/wire.js';
import { FaultyDaemon, STORES_IN_FILES } from './shim/faulty-daemon.js';
import { parseCalls, RecordedDisk } from './shim/recorded-disk.js';
import { workload } from './shim/workload.js';

/** Where the stores that others wrote keep what was committed. */
const LOGS = { leveldb: /index\/\d+\.log$/, SQLite: /data\.db-wal$/ };

test.each(Object.entries(LOGS))('%s has synced its log before each answer', async (store, log) => {
  const settings = STORES_IN_FILES[store as keyof typeof LOGS];
  await using daemon = await FaultyDaemon.start((folder) => ({ primary: settings(folder) }));
  // One call after the other: what is not synced when an answer comes belongs to that.
  const answers = await workload(daemon, dice(3), 1);
  const calls = parseCalls(await readFile(daemon.log));
  const disk = new RecordedDisk(daemon.disk);
  let writes = 0;
  for (const { logLength, revision, acked } of answers) {
    const before = writes;
    while (calls[0] !== undefined && calls[0].end <= logLength) {
      disk.play(calls[0]);
      writes += disk.unsynced().filter((path) => log.test(path)).length;
      calls.shift();
    }
    expect(
      disk.unsynced().filter((path) => log.test(path)),
      `at revision ${revision}, ${acked} rows`,
    ).toEqual([]);
    // The answer of a change speaks of what was written since the one before; rows may lie elsewhere.
    if (revision !== undefined) expect(writes).toBeGreaterThan(before);
  }
  expect(answers.length).toBeGreaterThan(4);
});
