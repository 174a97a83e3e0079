import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openBackend } from '../../server/backends/open-backend.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { asText, commit, lineRows, load, RUNNING, uploadSpec } from '../backends/runs.js';
import { campaign } from './campaign.js';
import { FaultyDaemon, STORES_IN_FILES } from './shim/faulty-daemon.js';
import { parseCalls, RecordedDisk, type Call } from './shim/recorded-disk.js';
import { workload, type Answer } from './shim/workload.js';

interface Recording {
  readonly disk: string;
  readonly calls: readonly Call[];
  readonly answers: readonly Answer[];
}

/** Runs a workload in a daemon, and gives what it did with its disk and when it answered what. */
async function record(store: keyof typeof STORES_IN_FILES, roll: () => number): Promise<Recording> {
  await using daemon = await FaultyDaemon.start((folder) => ({ primary: STORES_IN_FILES[store](folder) }));
  const answers = await workload(daemon, roll);
  return { disk: daemon.disk, calls: parseCalls(await readFile(daemon.log)), answers };
}

/** Checks an image of the disk against the answers that were given before the power cut. */
async function check(backend: StorageBackend, answers: readonly Answer[], cut: number): Promise<void> {
  for (const [number, key] of [...new Set(answers.map((answer) => answer.key))].entries()) {
    const own = answers.filter((answer) => answer.key === key);
    const known = new Map(own.flatMap((answer) => (answer.revision === undefined ? [] : [[answer.revision, answer]])));
    const before = own.filter((answer) => answer.logLength <= cut);
    const promised = Math.max(0, ...before.map((answer) => answer.revision ?? 0));
    const newest = await backend.stat(key, undefined, RUNNING).catch(() => undefined);
    const revision = Number(newest?.revision ?? 0);
    if (revision < promised) throw new Error(`${key} is at revision ${revision}: ${promised} was promised`);
    if (newest !== undefined) {
      const made = known.get(revision);
      expect(made, `${key} has a revision that was never answered and never sent`).toBeDefined();
      expect(newest.kind === RevisionKind.COMMITTED).toBe(made?.rows !== undefined);
      if (made?.rows !== undefined)
        expect(asText(await load(backend, newest))).toEqual(asText(lineRows(0, made.rows, made.factor)));
    }
    await checkUploads(backend, own, before, number);
  }
}

/** Each upload that was acked goes on behind all rows that were, and commits them as they were sent. */
async function checkUploads(
  backend: StorageBackend,
  own: readonly Answer[],
  before: readonly Answer[],
  number: number,
) {
  for (const uploadId of new Set(before.flatMap((answer) => answer.uploadId ?? []))) {
    const acked = Math.max(...before.filter((answer) => answer.uploadId === uploadId).map(({ acked }) => acked));
    const sent = Math.max(...own.filter((answer) => answer.uploadId === uploadId).map(({ acked }) => acked));
    const { key, factor } = own.find((answer) => answer.uploadId === uploadId) as Answer;
    await using upload = await backend.openUpload(uploadSpec(key, uploadId, { problem: undefined }), RUNNING);
    if (upload.committed !== undefined) continue;
    const isCommitted = before.some((answer) => answer.uploadId === uploadId && answer.revision !== undefined);
    if (isCommitted) throw new Error(`upload ${number} of ${key} was committed, and is open`);
    if (upload.nextRow < acked) throw new Error(`${key}: ${upload.nextRow} rows are left of ${acked} that were acked`);
    if (upload.nextRow > sent) throw new Error(`${key}: ${upload.nextRow} rows are there, ${sent} were sent`);
    const rows = upload.nextRow;
    await upload.append(lineRows(rows, 3, factor));
    const manifest = await commit(upload);
    expect(asText(await load(backend, manifest))).toEqual(asText(lineRows(0, rows + 3, factor)));
  }
}

describe.each(Object.keys(STORES_IN_FILES) as (keyof typeof STORES_IN_FILES)[])('a power cut under %s', (store) => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'optistore-power-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('loses no acked row, no commit and no deletion, whatever the disk keeps of what was not synced', async () => {
    await campaign(`lost unsynced writes, ${store}`, { short: 2, long: 60 }, async (roll) => {
      const { disk, calls, answers } = await record(store, roll);
      const images = 12;
      for (let image = 0; image < images; image++) {
        // Most cuts lie right behind an answer: there, what it promised must be on the disk.
        const answer = answers[Math.floor(roll() * answers.length)];
        const cut = roll() < 0.6 && answer ? answer.logLength : (calls[Math.floor(roll() * calls.length)]?.end ?? 0);
        const recorded = new RecordedDisk(disk);
        for (const call of calls) if (call.end <= cut) recorded.play(call);
        const target = join(folder, 'disk');
        recorded.cutPower(target, roll);
        try {
          await using backend = await openBackend(STORES_IN_FILES[store](target), {});
          await check(backend, answers, cut);
        } catch (error) {
          throw new Error(`image ${image}, cut at ${cut}`, { cause: error });
        } finally {
          await rm(target, { recursive: true });
        }
      }
      return images;
    });
  });
});
