import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fit } from '../../clients/cli/terminal/fit.js';
import { sparkline, WatchedStore } from '../../clients/cli/watch/watched.js';
import { UploadSchema, WatchResultsResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { Bench, problemOf, until } from './cli.js';

const PROBLEM = problemOf(['x', 'FLOAT64']);

let bench: Bench;

beforeAll(async () => {
  bench = await Bench.start();
});

afterAll(() => bench[Symbol.asyncDispose]());

test('on a terminal watch draws saves in progress and events in place, and Ctrl-C gives the cursor back', async () => {
  await using watching = bench.inTerminal(70, 'watch', 'live/');
  await until(() => watching.stdout.includes('no saves in progress'));
  const problem = await bench.folder.file('problem.json', PROBLEM);
  await using saving = bench.start('save', 'live/run', '-', '--problem', problem, '--upload-id', 'live-1');
  saving.print('x\n1\n2\n3\n');
  await until(() => /live\/run +3 +/.test(watching.stdout));
  saving.closeInput();
  await saving.ended();
  await until(() => watching.stdout.includes('committed  live/run  3 rows'));
  // What a terminal makes of Ctrl-C.
  watching.print('\u0003');
  const { stdout } = await watching.ended();
  expect(stdout).toContain('\u001b[?25l');
  expect(stdout).toContain('\u001b[?25h');
  expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'));
});

test('on a terminal watch shows that a save has lost its solver, and leaves it out once it is given up', async () => {
  await using watching = bench.inTerminal(70, 'watch', 'lost/');
  const problem = await bench.folder.file('problem.json', PROBLEM);
  await using saving = bench.start('save', 'lost/run', '-', '--problem', problem, '--upload-id', 'lost-1');
  saving.print('x\n1\n');
  await until(() => /lost\/run +1 /.test(watching.stdout));
  await saving.stop('SIGKILL');
  await until(() => /lost\/run +1 +no solver/.test(watching.stdout));
  await bench.client.abortUpload('lost-1');
  await until(() => watching.stdout.lastIndexOf('no saves in progress') > watching.stdout.lastIndexOf('lost/run'));
});

test('in a pipe watch prints lines, and with --json an object a line', async () => {
  await using lines = bench.start('watch', 'piped/', '--after', '0');
  await using objects = bench.start('watch', 'piped/', '--after', '0', '--json');
  await bench.save('piped/a', 'x\n1\n', PROBLEM);
  await until(() => lines.stdout.endsWith('\n') && objects.stdout.endsWith('\n'));
  expect(lines.stdout).toMatch(/^\d+\tcommitted\tpiped\/a\t1 rows\trevision 1\n$/);
  expect(JSON.parse(objects.stdout)).toMatchObject({ committed: { key: 'piped/a', rowCount: '1' } });
});

describe('the table of saves', () => {
  const upload = (uploadId: string, key: string, rows: number, hasStream = true) =>
    create(UploadSchema, { uploadId, key, durableRowCount: BigInt(rows), hasStream, createTime: timestampFromMs(0) });
  const committed = (uploadId: string) =>
    create(WatchResultsResponseSchema, { event: { case: 'committed', value: { key: 'runs/1', uploadId } } });
  const keysOf = (store: WatchedStore, nowMs: number) =>
    store.frame(nowMs, 80, 20).flatMap((line) => /^runs\/\S+/.exec(line)?.[0] ?? []);

  test('tells rows, rows a second, their course and age, and is not wider than the terminal', () => {
    const store = new WatchedStore(() => 'an event');
    for (let second = 0; second <= 4; second++) {
      store.takeAll([upload('u', 'runs/größe-🚀', second * second * 100)], second * 1000, second * 1000);
      store.frame(second * 1000, 80, 10);
    }
    const [head = '', line = ''] = store.frame(4000, 80, 10);
    expect(head).toMatch(/^saving +rows +rows\/s +age$/);
    expect(line).toMatch(/^runs\/größe-🚀 +1,600 +700 ▂▄▆█ +4 s$/);
    for (const columns of [20, 40, 64, 120])
      for (const one of store.frame(4000, columns, 10))
        expect([...one].length).toBeLessThanOrEqual(Math.max(columns, 36));
  });

  test('forgets what was committed, and never has more lines than the terminal', () => {
    const store = new WatchedStore(({ eventNumber }) => `event ${eventNumber}`);
    store.takeAll(
      Array.from({ length: 30 }, (_, i) => upload(`u${i}`, `runs/${i}`, 1)),
      0,
      0,
    );
    for (let i = 0; i < 30; i++) {
      const event = { case: 'committed', value: { key: `runs/${i}`, uploadId: `u${i}` } } as const;
      expect(store.frame(i, 80, 12).length).toBeLessThanOrEqual(12);
      store.take(create(WatchResultsResponseSchema, { eventNumber: BigInt(i), event }), i);
    }
    const frame = store.frame(40, 80, 12).join('\n');
    expect(frame).toContain('no saves in progress');
    expect(frame).toContain('event 29');
  });

  test('keeps a save whose solver takes its time, and says of one that it has none', () => {
    const store = new WatchedStore(() => '');
    store.takeAll([upload('u', 'runs/slow', 1), upload('v', 'runs/lost', 1, false)], 0, 0);
    const [, slow, lost] = store.frame(3_600_000, 80, 10);
    expect(slow).toMatch(/^runs\/slow +1 +0 .* 60 min$/);
    expect(lost).toMatch(/^runs\/lost +1 +no solver/);
  });

  test('has what a list of all has, and what was heard of since it was asked for; what was committed meanwhile does not come back', () => {
    const store = new WatchedStore(() => 'an event');
    store.takeAll([upload('u', 'runs/aborted', 1), upload('v', 'runs/going-on', 1), upload('w', 'runs/done', 1)], 0, 0);
    store.take(
      create(WatchResultsResponseSchema, { event: { case: 'upload', value: upload('n', 'runs/new', 1) } }),
      5001,
    );
    store.take(committed('w'), 5002);
    store.takeAll([upload('v', 'runs/going-on', 2), upload('w', 'runs/done', 1)], 5000, 5003);
    expect(keysOf(store, 5003)).toEqual(['runs/going-on', 'runs/new']);
    store.takeAll([], 10_000, 10_001);
    expect(keysOf(store, 10_001)).toEqual([]);
  });

  test('cuts by cells, not characters', () => {
    expect(fit('größe', 7)).toBe('größe  ');
    expect(fit('🚀🚀🚀', 5)).toBe('🚀🚀…');
    expect(fit('a\u001b[2Jb', 8)).toBe('a [2Jb  ');
    expect(sparkline([0, 1, 2, 4])).toBe('▁▃▅█');
  });
});
