import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, problemOf, type Running } from './cli.js';

const PROBLEM = problemOf(['n', 'INT64']);

let bench: Bench;
let problem: string;

beforeAll(async () => {
  bench = await Bench.start();
  problem = await bench.folder.file('problem.json', PROBLEM);
});

afterAll(() => bench[Symbol.asyncDispose]());

/** A save of what is typed at a terminal. */
function typed(id: string): Running {
  return bench.inTerminal(120, 'save', `typed/${id}`, '-', '--problem', problem, '--upload-id', id);
}

/** Of what a command hides of a terminal: cursor and wrapping of lines. */
const isShownAgain = (stdout: string, what: '25' | '7') =>
  stdout.includes(`\u001b[?${what}l`) &&
  stdout.lastIndexOf(`\u001b[?${what}h`) > stdout.lastIndexOf(`\u001b[?${what}l`);

describe('a save on a terminal', () => {
  test.each([
    ['Ctrl-C', 130],
    ['SIGTERM', 143],
  ] as const)(
    'that %s ends gives the terminal back as it was, tells what is safe, and ends by that signal',
    async (signal, expected) => {
      const id = `given-back-${expected}`;
      await using saving = typed(id);
      saving.print('n\n1\n2\n');
      await bench.durable(id, 2);
      // What a terminal makes of Ctrl-C.
      if (signal === 'Ctrl-C') saving.print('\u0003');
      else process.kill(Number(/^pid (\d+)/m.exec(saving.stdout)?.[1]), signal);
      const { code, stdout } = await saving.ended();
      expect([isShownAgain(stdout, '25'), isShownAgain(stdout, '7')]).toEqual([true, true]);
      expect(code).toBe(expected);
      expect(stdout).toContain(
        `2 rows are safe. To go on: the same command with --upload-id ${id}\r\nTo discard them: \`optistore uploads abort ${id}\``,
      );
      expect(await bench.uploads()).toMatchObject({ [id]: 2 });
    },
  );

  test('that cannot begin gives the terminal back as it was, and ends', async () => {
    await using saving = bench.inTerminal(120, 'save', '/no/key', problem, '--problem', problem, '--format', 'csv');
    const { code, stdout } = await saving.ended();
    expect([isShownAgain(stdout, '25'), isShownAgain(stdout, '7')]).toEqual([true, true]);
    expect(code).toBe(1);
  });
});

describe('a save that fails', () => {
  test('tells what is safe behind the error, with --json in it', async () => {
    const table = await bench.folder.file('wrong.csv', 'n\n1\nmany\n');
    const flags = ['--problem', problem, '--upload-id', 'behind'];
    const { stderr } = await bench.run('save', 'fails/behind', table, ...flags);
    expect(stderr).toBe(
      'Line 3: column "n" has "many" where an integer of 64 bits was expected.\n' +
        '1 row is safe. To go on: the same command with --upload-id behind\n' +
        'To discard them: `optistore uploads abort behind`\n',
    );
    const { stderr: json } = await bench.run('save', 'fails/behind', table, ...flags, '--json');
    expect(JSON.parse(json)).toMatchObject({
      error: { hint: expect.stringMatching(/^1 row is safe.*behind/) as string },
    });
  });

  test('with --append tells of no rows but its own, and leaves no empty upload behind', async () => {
    await bench.save('fails/append', 'n\n1\n2\n', PROBLEM);
    const table = await bench.folder.file('wrong.csv', 'other\n3\n');
    const { code, stderr } = await bench.run('save', 'fails/append', table, '--append', '--upload-id', 'appended');
    expect([code, stderr]).toEqual([1, expect.stringContaining('"other"')]);
    expect(stderr).not.toContain('safe');
    expect(await bench.uploads()).not.toHaveProperty('appended');
  });

  test('because its upload was given up has nothing to go on with', async () => {
    await using saving = bench.start('save', 'fails/gone', '-', '--problem', problem, '--upload-id', 'gone');
    saving.print('n\n1\n');
    await bench.durable('gone', 1);
    await bench.client.abortUpload('gone');
    saving.print('2\n');
    const { code, stderr } = await saving.ended();
    expect([code, stderr]).toEqual([1, expect.stringContaining('UPLOAD_ABORTED')]);
    expect(stderr).not.toContain('safe');
  });
});
