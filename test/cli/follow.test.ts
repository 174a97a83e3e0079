import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient, type ResultWriter } from '../../clients/typescript/index.js';
import { PROBLEM } from '../rpc/wire.js';
import { Bench, until, type Running } from './cli.js';

let bench: Bench;
let client: OptistoreClient;

beforeAll(async () => {
  bench = await Bench.start();
  client = createClient({ address: bench.daemon.address });
});
afterAll(async () => {
  client.close();
  await bench[Symbol.asyncDispose]();
});

const rows = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `${from + i},row ${from + i}\n`).join('');

/** Saves rows, and waits for their ack. */
async function acked(writer: ResultWriter, from: number, to: number): Promise<void> {
  const x = Array.from({ length: to - from }, (_, i) => from + i);
  await writer.append({ x, label: x.map((row) => `row ${row}`) });
  await writer.flush();
}

const printed = (running: Running, text: string) =>
  until(
    () => running.stdout,
    (stdout) => stdout === text,
  );

describe('optistore load --follow', () => {
  test('prints the columns at once, rows as they are acked, and ends with the commit', async () => {
    const writer = await client.save('live/plain', PROBLEM, { uploadId: 'plain' });
    await using following = bench.start('load', 'live/plain', '--follow');
    await printed(following, 'x,label\n');
    for (const [from, to] of [
      [0, 1],
      [1, 40],
      [40, 3000],
    ] as const) {
      await acked(writer, from, to);
      await printed(following, `x,label\n${rows(0, to)}`);
    }
    await writer.commit();
    expect(await following.ended()).toEqual({ code: 0, stdout: `x,label\n${rows(0, 3000)}`, stderr: '' });
    expect(await bench.ok('load', 'live/plain', '--follow', '--upload-id', 'plain', '--rows', '2990:')).toBe(
      `x,label\n${rows(2990, 3000)}`,
    );
  });

  test('writes a file that is there once the save is committed: CSV, or JSON', async () => {
    const writer = await client.save('live/files', PROBLEM, { uploadId: 'files' });
    await acked(writer, 0, 20);
    const follow = (name: string, ...more: string[]) =>
      bench.start('load', 'live/files', '--follow', '--upload-id', 'files', '-o', bench.folder.at(name), ...more);
    await using toCsv = follow('live.csv', '--columns', 'x');
    await using toJson = follow('live.json');
    await until(
      () => bench.folder.read('live.csv.partial').catch(() => ''),
      (text) => text.endsWith('\n19\n'),
    );
    await expect(bench.folder.read('live.csv')).rejects.toMatchObject({ code: 'ENOENT' });
    await writer.commit();
    for (const running of [toCsv, toJson]) expect(await running.ended()).toEqual({ code: 0, stdout: '', stderr: '' });
    const numbers = Array.from({ length: 20 }, (_, row) => row);
    expect(await bench.folder.read('live.csv')).toBe(`x\n${numbers.join('\n')}\n`);
    const table = JSON.parse(await bench.folder.read('live.json')) as { columns: { x: number[] } };
    expect(table.columns.x).toEqual(numbers);
  });

  test('goes on over a daemon that dies, and says so', async () => {
    await using own = await Bench.start();
    await using ownClient = createClient({ address: own.daemon.address });
    const writer = await ownClient.save('k', PROBLEM, { uploadId: 'u' });
    await acked(writer, 0, 50);
    await using following = own.start('load', 'k', '--follow');
    await printed(following, `x,label\n${rows(0, 50)}`);
    await own.daemon.process.stop('SIGKILL');
    await own.daemon.restart();
    await acked(writer, 50, 100);
    await writer.commit();
    const { code, stdout, stderr } = await following.ended();
    expect({ code, stdout }).toEqual({ code: 0, stdout: `x,label\n${rows(0, 100)}` });
    expect(stderr).toContain('Reconnecting.');
  });

  test('of a save that is given up, or where there is none, says so and ends with 1', async () => {
    const writer = await client.save('live/aborted', PROBLEM, { uploadId: 'aborted' });
    await acked(writer, 0, 10);
    await using following = bench.start('load', 'live/aborted', '--follow');
    await printed(following, `x,label\n${rows(0, 10)}`);
    await client.abortUpload('aborted');
    const { code, stderr } = await following.ended();
    expect(stderr).toContain('UPLOAD_ABORTED');
    expect(code).toBe(1);
    const none = await bench.run('load', 'live/none', '--follow');
    expect(none).toMatchObject({ code: 1, stdout: '' });
    expect(none.stderr).toContain('UPLOAD_NOT_FOUND');
  });

  test('is what a load, a plot and the rest name of a key that is being saved for the first time, and the other way round', async () => {
    const writer = await client.save("live/m 3's", PROBLEM, { uploadId: 'm3' });
    await acked(writer, 0, 1);
    for (const [command, copied] of [
      ['load', 'load'],
      ['plot', 'plot'],
      ['show', 'load'],
    ] as const) {
      const { code, stderr } = await bench.run(command, "live/m 3's");
      expect([code, stderr]).toEqual([
        1,
        `"live/m 3's" is being saved for the first time, and not committed yet: 1 row so far. [RESULT_NOT_FOUND]\n` +
          `Read along: \`optistore ${copied} 'live/m 3'\\''s' --follow\`\n`,
      ]);
    }
    await writer.commit();
    const { stderr } = await bench.run('load', "live/m 3's", '--follow');
    expect(stderr).toBe(
      `Nothing is being saved under "live/m 3's". It is committed, with 1 row, revision 1. [UPLOAD_NOT_FOUND]\n` +
        `It is had without --follow: \`optistore load 'live/m 3'\\''s'\`\n`,
    );
  });

  test.each([
    [['--follow', '--revision', '1']],
    [['--follow', '--set', 'a']],
    [['--follow', '--from', 'primary']],
    [['--follow', '--rows', '0:5']],
    [['--upload-id', 'u']],
  ])('is refused with %j, as wrong usage', async (flags) => {
    expect(await bench.run('load', 'k', ...flags)).toMatchObject({ code: 2, stdout: '' });
  });
});
