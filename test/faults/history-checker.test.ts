import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { OptistoreError } from '../../clients/typescript/index.js';
import {
  checkFollowers,
  checkKeyHistory,
  checkWatcher,
  HistoryViolation,
  type Answer,
  type Call,
  type Content,
  type Operation,
} from './history-checker.js';
import { Recorder } from './history-recorder.js';

const of = (writer: string, tag = '', rowCount = 10): Content => ({ writers: [writer], rowCount, tag });
const save = (writer: string, expected?: number): Call => ({
  ...{ do: 'save' as const, content: of(writer) },
  ...(expected !== undefined && { expected }),
});
const read: Call = { do: 'read' };
const hear: Call = { do: 'hear' };
const remove: Call = { do: 'delete' };
const at = (revision: number): Call => ({ do: 'read revision', revision });
const done = (revision: number): Answer => ({ is: 'done', revision });
const found = (revision: number, content: Partial<Content> | undefined): Answer => ({ is: 'found', revision, content });
const absent: Answer = { is: 'absent' };
const mismatch: Answer = { is: 'mismatch' };
const unknown: Answer = { is: 'unknown' };

type Row = readonly [begin: number, end: number, call: Call, answer: Answer];
const check = (rows: readonly Row[]) =>
  checkKeyHistory(
    'k',
    rows.map(([begin, end, call, answer], i): Operation => ({ client: `c${i}`, begin, end, call, answer })),
  );

describe('the checker of a key explains', () => {
  const RIGHT: Record<string, readonly Row[]> = {
    'calls one behind the other': [
      [0, 1, read, absent],
      [2, 3, save('a', 0), done(1)],
      [4, 5, read, found(1, of('a'))],
      [6, 7, { do: 'update', tag: 't', expected: 1 }, done(2)],
      [8, 9, { do: 'append', content: of('b', 'u', 5), base: 10 }, done(3)],
      [10, 11, read, found(3, { writers: ['a', 'b'], rowCount: 15, tag: 'u' })],
      [12, 13, remove, done(4)],
      [14, 15, read, absent],
      [16, 17, at(2), found(2, of('a', 't'))],
      [16, 17, at(4), absent],
      [18, 19, save('c', 0), done(5)],
    ],
    'a save without an answer that happened, before an answer that fits with it and without': [
      [0, 1, save('a'), done(1)],
      [2, 5, save('b'), unknown],
      [6, 7, save('c', 9), mismatch],
      [8, 9, read, found(2, of('b'))],
    ],
    'two saves without an answer, of which one happened': [
      [0, 1, save('a'), done(1)],
      [2, 5, save('b'), unknown],
      [2, 5, save('c'), unknown],
      [6, 7, remove, done(3)],
      [8, 9, at(2), found(2, of('c'))],
    ],
    'saves at the same time, in the order that their revisions tell': [
      [0, 10, save('a'), done(2)],
      [0, 10, save('b'), done(1)],
      [5, 6, read, found(2, of('a'))],
    ],
    'a read while a save runs: the old or the new, but the new from then on': [
      [0, 1, save('a'), done(1)],
      [2, 10, save('b'), done(2)],
      [3, 4, read, found(1, of('a'))],
      [5, 6, read, found(2, of('b'))],
      [7, 8, read, found(2, of('b'))],
    ],
    'a race for one revision that one wins': [
      [0, 10, save('a', 0), mismatch],
      [0, 10, save('b', 0), done(1)],
    ],
    'a save without an answer that happened': [
      [0, 5, save('a'), unknown],
      [6, 7, read, found(1, of('a'))],
      [8, 9, save('b'), done(2)],
    ],
    'a save without an answer that did not happen': [
      [0, 5, save('a'), unknown],
      [6, 7, read, absent],
      [8, 9, save('b'), done(1)],
    ],
    'which of several without an answer happened, also where the first guess is wrong': [
      [0, 50, save('a'), unknown],
      [0, 50, save('b'), unknown],
      [0, 50, save('c'), unknown],
      [0, 50, remove, unknown],
      [60, 61, read, found(3, of('b'))],
      [62, 63, at(1), found(1, of('c'))],
      [62, 63, at(2), absent],
    ],
    'what a watcher was told, or a stale read said, also when it is superseded': [
      [0, 1, save('a'), done(1)],
      [2, 3, remove, done(2)],
      [4, 4, hear, found(1, of('a'))],
      [5, 5, hear, found(2, undefined)],
    ],
  };
  test.each(Object.entries(RIGHT))('%s', (_, rows) => check(rows));

  test('long histories of many clients in little time', () => {
    const rows: Row[] = [];
    for (let i = 0; i < 2000; i++) {
      rows.push([i * 10, i * 10 + 25, save(`w${i}`), done(i + 1)]);
      rows.push([i * 10 + 26, i * 10 + 31, read, found(i + 1, of(`w${i}`))]);
      if (i % 100 === 0) rows.push([i * 10, i * 10 + 60, save(`lost${i}`), unknown]);
    }
    // The reads see each revision just before the next save may have been made.
    check(
      rows.map(([begin, end, call, answer]) =>
        call === read ? [begin - 20, end, call, answer] : [begin, end, call, answer],
      ),
    );
  });
});

describe('the checker of a key refuses', () => {
  const WRONG: Record<string, readonly Row[]> = {
    'a lost update: an answered save that a later read does not see': [
      [0, 1, save('a'), done(1)],
      [2, 3, save('b'), done(2)],
      [4, 5, read, found(1, of('a'))],
    ],
    'a save without an answer that happened after its daemon was dead': [
      [0, 1, save('a'), done(1)],
      [2, 5, save('b'), unknown],
      [6, 7, read, found(1, of('a'))],
      [8, 9, read, found(2, of('b'))],
    ],
    'a save without an answer that happened twice': [
      [0, 1, save('a'), done(1)],
      [2, 5, save('b'), unknown],
      [6, 7, read, found(3, of('b'))],
    ],
    'a lost update: two saves that expected the same revision': [
      [0, 1, save('a'), done(1)],
      [2, 9, save('b', 1), done(2)],
      [2, 9, save('c', 1), done(3)],
    ],
    'a lost update: two appends behind the same rows': [
      [0, 1, save('a'), done(1)],
      [2, 9, { do: 'append', content: of('b'), base: 10 }, done(2)],
      [2, 9, { do: 'append', content: of('c'), base: 10 }, done(3)],
    ],
    'a torn revision: rows of two saves': [
      [0, 10, save('a'), done(1)],
      [0, 10, save('b'), done(2)],
      [3, 4, read, found(2, { writers: ['a', 'b'], rowCount: 10, tag: '' })],
    ],
    'a torn revision: the tag of one and the rows of another': [
      [0, 1, save('a'), done(1)],
      [2, 9, { do: 'update', tag: 'new' }, done(2)],
      [3, 4, read, found(2, of('a', ''))],
    ],
    'a result with fewer rows than were committed': [
      [0, 1, save('a'), done(1)],
      [2, 3, read, found(1, of('a', '', 9))],
    ],
    'a revision that goes back between two reads': [
      [0, 1, save('a'), done(1)],
      [2, 20, save('b'), done(2)],
      [3, 4, read, found(2, of('b'))],
      [5, 6, read, found(1, of('a'))],
    ],
    'a revision that is given twice': [
      [0, 10, save('a'), done(1)],
      [0, 10, save('b'), done(1)],
    ],
    'a list that disagrees with a get': [
      [0, 1, save('a'), done(1)],
      [2, 3, save('b'), done(2)],
      [4, 5, read, found(2, of('b'))],
      // A list without it.
      [6, 7, read, absent],
    ],
    'a deleted key that comes back': [
      [0, 1, save('a'), done(1)],
      [2, 3, remove, done(2)],
      [4, 5, read, found(1, of('a'))],
    ],
    'a deletion without an answer that happens again behind a read': [
      [0, 1, save('a'), done(1)],
      [2, 5, remove, unknown],
      [6, 7, read, found(1, of('a'))],
      [8, 9, read, absent],
    ],
    'a save without an answer that shows, and is gone again': [
      [0, 5, save('a'), unknown],
      [6, 7, read, found(1, of('a'))],
      [8, 9, read, absent],
    ],
    'a value that nobody saved': [
      [0, 1, save('a'), done(1)],
      [2, 3, read, found(1, of('x'))],
    ],
    'a revision that is replaced by another': [
      [0, 1, save('a'), done(1)],
      [2, 3, save('b'), done(2)],
      [4, 5, at(1), found(1, of('b'))],
    ],
    'a superseded revision that is gone': [
      [0, 1, save('a'), done(1)],
      [2, 3, save('b'), done(2)],
      [4, 5, at(1), absent],
    ],
    'a refusal for a revision that it has': [
      [0, 1, save('a'), done(1)],
      [2, 3, save('b', 1), mismatch],
    ],
    'a watcher that is told before it happens': [
      [0, 0, hear, found(1, of('a'))],
      [1, 2, save('a'), done(1)],
    ],
  };
  test.each(Object.entries(WRONG))('%s', (_, rows) => {
    expect(() => check(rows)).toThrow(HistoryViolation);
  });
});

describe('the checker of streams refuses', () => {
  test('a follower that sees unacked rows that vanish', () => {
    const followed = [{ uploadId: 'u', at: 5, rowCount: 30 }];
    checkFollowers(followed, [{ uploadId: 'u', begin: 4, rowCount: 10 }]);
    checkFollowers(followed, [{ uploadId: 'u', begin: 6, rowCount: 30 }]);
    checkFollowers(followed, [{ uploadId: 'other', begin: 6, rowCount: 0 }]);
    expect(() => checkFollowers(followed, [{ uploadId: 'u', begin: 6, rowCount: 20 }])).toThrow(HistoryViolation);
  });

  test('a watcher that is told events or revisions backwards or twice, or not the newest', () => {
    const told = (...list: [number, string, number][]) =>
      list.map(([number, key, revision]) => ({ eventNumber: BigInt(number), key, revision }));
    const newest = new Map([['k', 3]]);
    checkWatcher(told([1, 'k', 1], [4, 'l', 1], [7, 'k', 3]), newest);
    for (const wrong of [
      told([1, 'k', 1], [1, 'k', 3]),
      told([2, 'k', 1], [1, 'k', 3]),
      told([1, 'k', 3], [2, 'k', 3]),
      told([1, 'k', 4], [2, 'k', 3]),
      told([1, 'k', 2]),
      told(),
    ])
      expect(() => checkWatcher(wrong, newest)).toThrow(HistoryViolation);
  });
});

describe('a save that breaks off, over a kill,', () => {
  const cutOff = new OptistoreError('gone', 14, undefined, {});

  /** A save that breaks off before the kill or behind it; then nothing is found, and later what it saved. */
  async function play(breaksOff: 'before' | 'behind'): Promise<void> {
    const recorder = new Recorder();
    let breakOff: (error: Error) => void = () => undefined;
    const saving = recorder.call('c', 'k', save('a'), () => new Promise((_, reject) => (breakOff = reject)));
    const broken = async () => {
      breakOff(cutOff);
      await saving;
    };
    if (breaksOff === 'before') await broken();
    recorder.settle(() => true);
    await sleep(2);
    recorder.reads('d', recorder.now(), [{ key: 'k', answer: absent }]);
    if (breaksOff === 'behind') await broken();
    recorder.reads('d', recorder.now(), [{ key: 'k', answer: found(1, of('a')) }]);
    recorder.check(new Map());
  }

  test('may happen after it where it was on its way to the next daemon', () => play('behind'));

  test('does not where the daemon that it asked is dead', async () => {
    await expect(play('before')).rejects.toThrow(HistoryViolation);
  });
});
