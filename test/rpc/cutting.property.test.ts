import fc from 'fast-check';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { Problem, Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ProblemSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import { OptistoreError } from '../../clients/typescript/index.js';
import { schemaOf, type Batch } from '../../server/rows/batch.js';
import { selectColumns, sliceBatch } from '../../server/rows/slice.js';
import { toRowBatch } from '../../server/rows/wire.js';
import { all, asText } from '../backends/runs.js';
import { anyCuts, anyVariablesAndRun } from '../rows/arbitrary-batch.js';
import { rawLoad } from './raw-load.js';
import { PROBLEM, RawSave, sharedDaemon } from './wire.js';

const TIMEOUT_MS = 120_000;

const { daemon, client, channel } = await sharedDaemon();
let count = 0;

/** What comes after a batch: nothing, or an end of the stream and a new one. */
const anyAftermath = fc.constantFrom('go on', 'go on', 'flush', 'close', 'cut off', 'flush and cut off', 'take over');

/** Up to which row a batch goes, how many known rows it repeats, and whether it has a checksum. */
interface Step {
  readonly to: number;
  readonly overlap: number;
  readonly hasChecksum: boolean;
  readonly then: 'go on' | 'flush' | 'close' | 'cut off' | 'flush and cut off' | 'take over';
}

const anySave = anyVariablesAndRun.chain(({ variables, run }) =>
  anyCuts(run.rowCount).chain((cuts) =>
    fc
      .tuple(
        ...cuts
          .slice(1)
          .map((to) =>
            fc.record({ to: fc.constant(to), overlap: fc.nat(8), hasChecksum: fc.boolean(), then: anyAftermath }),
          ),
      )
      .map((steps) => ({ variables, run, steps })),
  ),
);

/** A save that keeps account of what the daemon has: all that was sent, or what it says when it is opened again. */
class Saving {
  private save: RawSave;
  nextRow = 0;

  private constructor(
    private readonly open: { key: string; uploadId: string; problem: Problem },
    private readonly variables: readonly Variable[],
    private readonly run: Batch,
  ) {
    this.save = new RawSave(daemon.address).send({ case: 'open', value: open });
  }

  static async begin(open: { key: string; uploadId: string; problem: Problem }, variables: Variable[], run: Batch) {
    const saving = new Saving(open, variables, run);
    await saving.save.answer('opened');
    return saving;
  }

  async take(step: Step): Promise<void> {
    this.send(step.to, step.overlap, step.hasChecksum);
    if (step.then === 'go on') return;
    if (step.then.startsWith('flush')) {
      this.save.send({ case: 'flush', value: {} });
      while ((await this.save.answer('ack')).durableRowCount < BigInt(this.nextRow));
    }
    if (step.then !== 'flush') await this.reopen(step.then);
  }

  send(to: number, overlap = 0, hasChecksum = true): void {
    const from = Math.max(Math.min(this.nextRow, to - 1) - overlap, 0);
    const wire = toRowBatch(sliceBatch(schemaOf(this.variables), this.run, from, to - from), this.variables);
    if (!hasChecksum) delete wire.crc32;
    this.save.send({ case: 'batch', value: wire });
    this.nextRow = Math.max(this.nextRow, to);
  }

  private async reopen(how: Step['then']): Promise<void> {
    const before = this.save;
    if (how === 'close') await before.endAndWait();
    else if (how !== 'take over') before.cancel();
    this.save = new RawSave(daemon.address).send({ case: 'open', value: this.open });
    const next = Number((await this.save.answer('opened')).nextRow);
    if (how === 'take over') expect(await before.error()).toMatchObject({ reason: 'UPLOAD_TAKEN_OVER' });
    // Only a cut loses rows that were sent, and only those that were not acked.
    if (how === 'close' || how === 'flush and cut off') expect(next).toBe(this.nextRow);
    else expect(next).toBeLessThanOrEqual(this.nextRow);
    this.nextRow = next;
  }

  async commit(): Promise<void> {
    // What a cut lost at the end.
    if (this.nextRow < this.run.rowCount) this.send(this.run.rowCount);
    this.save.send({ case: 'commit', value: { rowCount: BigInt(this.run.rowCount) } });
    await this.save.answer('committed');
    await this.save.endAndWait();
  }
}

test(
  'a run loads bit for bit however it was cut, resent, cut off, taken over and resumed',
  async () => {
    const property = fc.asyncProperty(anySave, fc.nat(60), fc.nat(60), async ({ variables, run, steps }, a, b) => {
      const key = `cut/${count++}`;
      const problem = create(ProblemSchema, { variables });
      const saving = await Saving.begin({ key, uploadId: `cut-${count}`, problem }, variables, run);
      for (const step of steps) await saving.take(step);
      await saving.commit();
      expect(asText((await rawLoad(channel, { key })).rows())).toEqual(asText(run));
      const [from, rows] = [Math.min(a, run.rowCount - 1), b + 1];
      const last = variables.length - 1;
      const name = variables[last]?.name ?? '';
      const part = await rawLoad(channel, { key, columns: [name], firstRow: BigInt(from), rowCount: BigInt(rows) });
      const expected = sliceBatch(schemaOf(variables), run, from, Math.min(rows, run.rowCount - from));
      expect(asText(part.rows())).toEqual(asText(selectColumns(expected, [last])));
    });
    await fc.assert(property, { numRuns: 80 });
  },
  TIMEOUT_MS,
);

/** The rules at Result.key, written anew: it says what is wrong with a text as a key. */
function isKey(text: string): boolean {
  const byteLength = new TextEncoder().encode(text).byteLength;
  if (byteLength < 1 || byteLength > 512) return false;
  if (/\p{Cc}/u.test(text)) return false;
  return text.split('/').every((segment) => !['', '.', '..'].includes(segment));
}

/** Texts that are near the border between keys and others. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('/', '.', 'a', 'A', '\\', '%', ':', ' ', '\u00a0', '\u200b'), maxLength: 6 }),
  fc.string({
    unit: fc.constantFrom('a', '\u0000', '\u001f', '\u007f', '\u0085', '\u009f', '\u{10ffff}'),
    maxLength: 4,
  }),
  // Equal to a reader, and not the same: é in one character and in two, and letters in both cases.
  fc.string({ unit: fc.constantFrom('\u00e9', 'e\u0301', 'E', 'e', 'K', '\u212a'), minLength: 1, maxLength: 3 }),
  fc
    .tuple(fc.integer({ min: 505, max: 515 }), fc.constantFrom('x', 'ä', '漢', '🙂'))
    .map(([byteLength, last]) => `${'k'.repeat(byteLength - Buffer.byteLength(last))}${last}`),
);

test(
  'any text is a key, under which its own result is found, or it is refused by the rules',
  async () => {
    const held = new Map<string, number>();
    const property = fc.asyncProperty(anyText, async (text) => {
      const isRefused = !isKey(text);
      try {
        const writer = await client.save(text, PROBLEM);
        await writer.append({ x: [count++], label: ['run'] });
        const { key } = await writer.commit();
        expect(key).toBe(text);
        held.set(text, count - 1);
      } catch (error) {
        if (!(error instanceof OptistoreError)) throw error;
        expect(error).toMatchObject({ reason: 'KEY_INVALID', code: 3 });
        expect(isRefused, 'refused, but the rules allow it').toBe(true);
        await expect(client.getResult(text)).rejects.toMatchObject({ reason: 'KEY_INVALID' });
        return;
      }
      expect(isRefused, 'accepted, but the rules forbid it').toBe(false);
      expect((await client.getResult(text)).key).toBe(text);
      const found = await all(client.listResults({ prefix: text }));
      expect(found.map((result) => result.key)).toContain(text);
    });
    await fc.assert(property, { numRuns: 250 });
    // No other key has taken its place.
    for (const [key, number] of held) {
      const { columns } = await client.load(key, { columns: ['x'] }).toColumns();
      expect([...(columns['x']?.values as Float64Array)], key).toEqual([number]);
    }
    expect(held.size).toBeGreaterThan(50);
  },
  TIMEOUT_MS,
);
