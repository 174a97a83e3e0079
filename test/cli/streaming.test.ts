import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, problemOf, until, type Running } from './cli.js';

const PROBLEM = problemOf(['n', 'INT64'], ['label', 'STRING']);

let bench: Bench;
let problem: string;

beforeAll(async () => {
  bench = await Bench.start();
  problem = await bench.folder.file('problem.json', PROBLEM);
});

afterAll(() => bench[Symbol.asyncDispose]());

/** A solver that prints into `optistore save KEY -`. */
function solver(id: string, ...flags: string[]): Running {
  return bench.start('save', `live/${id}`, '-', '--problem', problem, '--upload-id', id, ...flags);
}

const rows = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, i) => `${first + i},r${first + i}\n`).join('');
const whole = (end: number) => `n,label\n${rows(0, end)}`;
describe('save - while the solver runs', () => {
  test('every row printed so far is durable while the next one is computed', async () => {
    await using running = solver('visible');
    running.print('n,label\n');
    running.print(rows(0, 1));
    expect(await bench.durable('visible', 1)).toMatchObject({ visible: 1 });
    running.print(rows(1, 5));
    expect(await bench.durable('visible', 5)).toMatchObject({ visible: 5 });
    running.closeInput();
    expect(await running.ended()).toEqual({ code: 0, stdout: 'live/visible: 5 rows, revision 1\n', stderr: '' });
  });

  test('uploads shows it as connected, also as JSON, and list does not yet', async () => {
    await using running = solver('shown');
    running.print(whole(10));
    await bench.durable('shown', 5);
    expect(await bench.ok('uploads')).toMatch(/^shown\tlive\/shown\t\d+ rows\tconnected$/m);
    const { uploads } = (await bench.json('uploads')) as { uploads: { uploadId: string }[] };
    expect(uploads.find(({ uploadId }) => uploadId === 'shown')).toMatchObject({ key: 'live/shown', hasStream: true });
    expect(await bench.ok('list', 'live/shown')).toBe('');
    running.closeInput();
    expect(await running.ended()).toMatchObject({ code: 0, stderr: '' });
    expect(await bench.uploads()).not.toHaveProperty('shown');
    expect(await bench.ok('load', 'live/shown')).toBe(whole(10));
  });

  test('a row may come in pieces, cut inside a character too', async () => {
    await using running = solver('pieces');
    const text = 'n,label\n1,größe 🚀\n2,"two\nlines"\n';
    for (const byte of Buffer.from(text)) {
      running.print(Buffer.of(byte));
      // A turn of the loop for each, so that they are written one by one.
      await new Promise((resolve) => setImmediate(resolve));
    }
    running.closeInput();
    expect(await running.ended()).toMatchObject({ code: 0, stderr: '' });
    expect(await bench.ok('load', 'live/pieces')).toBe(text);
  });

  test('an input without rows makes an empty result', async () => {
    await using running = solver('empty');
    running.print('n,label\n');
    running.closeInput();
    expect(await running.ended()).toMatchObject({ code: 0, stdout: 'live/empty: 0 rows, revision 1\n' });
  });

  test('a wrong row ends it at once, says its line, and keeps the rows before', async () => {
    await using running = solver('wrong');
    running.print(`${whole(3)}many,r3\n${rows(4, 9)}`);
    // Its input stays open: the solver has not noticed.
    const { code, stdout, stderr } = await running.ended();
    expect(stderr).toContain('Line 5: column "n" has "many" where an integer of 64 bits was expected.');
    expect(stderr).toContain('3 rows are safe. To go on: the same command with --upload-id wrong');
    expect([code, stdout]).toEqual([1, '']);
    expect(await bench.uploads()).toMatchObject({ wrong: 3 });
    await using second = solver('wrong');
    second.print(whole(9));
    second.closeInput();
    expect(await second.ended()).toMatchObject({ code: 0, stdout: 'live/wrong: 9 rows, revision 1\n' });
    expect(await bench.ok('load', 'live/wrong')).toBe(whole(9));
  });
});

describe('save - that is cut off', () => {
  test('by SIGKILL goes on with the same --upload-id, each row once', async () => {
    await using first = solver('killed');
    first.print(whole(2500));
    await bench.durable('killed', 2000);
    first.print(rows(2500, 2600));
    await first.stop('SIGKILL');
    const left = await until(
      () => bench.ok('uploads'),
      (text) => /^killed\t.*expires/m.test(text),
    );
    expect(left).toMatch(/^killed\tlive\/killed\t\d+ rows\texpires \d{4}-/m);
    await using second = solver('killed');
    second.print(whole(3000));
    second.closeInput();
    expect(await second.ended()).toEqual({ code: 0, stdout: 'live/killed: 3000 rows, revision 1\n', stderr: '' });
    expect(await bench.ok('load', 'live/killed')).toBe(whole(3000));
  });

  test('does not go on with an input that has fewer rows, which is another run', async () => {
    await using first = solver('shorter');
    first.print(whole(20));
    await bench.durable('shorter', 10);
    await first.stop('SIGKILL');
    await using second = solver('shorter');
    second.print(whole(5));
    second.closeInput();
    const { code, stderr } = await second.ended();
    expect(stderr).toMatch(/rows fewer than upload shorter already has/);
    expect(code).toBe(1);
    expect(await bench.ok('list', 'live/shorter')).toBe('');
  });

  test('does not go on under another key', async () => {
    await using first = solver('moved');
    first.print(whole(20));
    await bench.durable('moved', 10);
    await first.stop('SIGKILL');
    const table = await bench.folder.file('moved.csv', whole(20));
    const { code, stderr } = await bench.run('save', 'live/x', table, '--problem', problem, '--upload-id', 'moved');
    expect(stderr).toMatch(/live\/moved.*UPLOAD_CONFLICT/);
    expect(code).toBe(1);
  });

  test('by a daemon that dies goes on by itself when it is back, and says so in two lines', async () => {
    await using own = await Bench.start();
    await using running = own.start('save', 'k', '-', '--problem', problem, '--upload-id', 'lasting');
    running.print(whole(100));
    await own.durable('lasting', 50);
    await own.daemon.process.stop('SIGKILL');
    running.print(rows(100, 200));
    await until(
      () => running.stderr,
      (text) => text.includes('Reconnecting.'),
    );
    // Some more tries, of which no line tells.
    await sleep(1500);
    await own.daemon.restart();
    running.print(rows(200, 300));
    running.closeInput();
    const { stderr, ...ended } = await running.ended();
    expect(ended).toEqual({ code: 0, stdout: 'k: 300 rows, revision 1\n' });
    expect(stderr).toMatch(
      /^No daemon answers at [\d.:]+ \((E[A-Z]+|Connection dropped)\)\. .* Reconnecting\.\nThe daemon is back: going on\.\n$/,
    );
    expect(await own.ok('load', 'k')).toBe(whole(300));
  });

  test('behind its commit succeeds when it is tried again, and says that nothing of the input was read', async () => {
    const table = await bench.folder.file('first.csv', whole(3));
    const flags = ['--problem', problem, '--upload-id', 'used'];
    await bench.ok('save', 'live/used', table, ...flags);
    const other = await bench.folder.file('other.csv', whole(7));
    const told =
      /^Upload used was committed already, at \d{4}-\d\d-\d\d [\d:]{8}, as revision 1 of live\/used with 3 rows: nothing was read\. Another run takes another --upload-id\.\n$/;
    const again = await bench.run('save', 'live/used', other, ...flags);
    expect(again).toMatchObject({ code: 0, stdout: 'live/used: 3 rows, revision 1\n' });
    expect(again.stderr).toMatch(told);
    const json = await bench.run('save', 'live/used', other, ...flags, '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({ rowCount: '3', revision: '1' });
    expect(json.stderr).toMatch(told);
  });

  test('can be given up with uploads abort', async () => {
    await using running = solver('hopeless');
    running.print(whole(20));
    await bench.durable('hopeless', 10);
    await running.stop('SIGKILL');
    expect(await bench.ok('uploads', 'abort', 'hopeless')).toBe('hopeless: aborted\n');
    expect(await bench.uploads()).not.toHaveProperty('hopeless');
  });

  test('by a second one with the same id ends, and says that it was taken over', async () => {
    await using first = solver('taken');
    first.print(whole(20));
    await bench.durable('taken', 10);
    await using second = solver('taken');
    second.print(whole(30));
    await bench.durable('taken', 25);
    first.print(rows(20, 30));
    first.closeInput();
    const { code, stderr } = await first.ended();
    expect(stderr).toContain('UPLOAD_TAKEN_OVER');
    expect(code).toBe(1);
    second.closeInput();
    expect(await second.ended()).toMatchObject({ code: 0, stdout: 'live/taken: 30 rows, revision 1\n' });
    expect(await bench.ok('load', 'live/taken')).toBe(whole(30));
  });
});

test('long work draws no bar into a pipe', async () => {
  const table = await bench.folder.file('long.csv', whole(50_000));
  const saved = await bench.run('save', 'long', table, '--problem', problem);
  expect(saved).toEqual({ code: 0, stdout: 'long: 50000 rows, revision 1\n', stderr: '' });
  const loaded = await bench.run('load', 'long', '-o', bench.folder.at('long.out.csv'));
  expect(loaded).toEqual({ code: 0, stdout: '', stderr: '' });
  expect(await bench.folder.read('long.out.csv')).toBe(whole(50_000));
});
