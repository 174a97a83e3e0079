import { appendFileSync, mkdirSync } from 'node:fs';
import { randomInt } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { dice } from '../rpc/wire.js';

/** `make faults` runs the long campaigns, `make test` the short ones. */
export const IS_LONG = process.env['FAULTS'] === 'long';

/** For tests that start many daemons, which a busy machine takes its time over; long campaigns have the time of vitest.config.ts. */
export const MANY_STARTS_MS = IS_LONG ? undefined : 240_000;

/** Numbers everything that is left to chance. The short campaigns are the same each time, the long ones never, unless told. */
export const SEED = Number(process.env['FAULTS_SEED'] ?? (IS_LONG ? randomInt(1_000_000) : 1));

/** Replays one round alone. */
const ONLY_ROUND = process.env['FAULTS_ROUND'];

/** A line for each campaign, for `test/faults/table.ts`. */
export const REPORT = resolve('dist', 'faults-report.jsonl');

/** How many rounds a campaign has. FAULTS_ROUNDS beats both. */
export interface Rounds {
  readonly short: number;
  readonly long: number;
}

/** How many rounds there are to do here. */
export function roundCount({ short, long }: Rounds): number {
  return Number(process.env['FAULTS_ROUNDS'] ?? (IS_LONG ? long : short));
}

/**
 * Runs rounds of a fault, each with dice of its own; fails with the words that replay the round that failed. A round
 * may give the number of things it checked: rows, calls, crash images; the report has their sum.
 */
export async function campaign(
  fault: string,
  rounds: Rounds,
  round: (roll: () => number, number: number) => Promise<number | void>,
): Promise<void> {
  const startedMs = Date.now();
  const numbers =
    ONLY_ROUND === undefined ? Array.from({ length: roundCount(rounds) }, (_, i) => i) : [Number(ONLY_ROUND)];
  if (numbers.length === 0) throw new Error(`${fault}: no round was asked for, so nothing would be tested.`);
  let checked = 0;
  for (const number of numbers) {
    try {
      checked += (await round(dice(SEED * 7919 + number * 104_729), number)) ?? 0;
    } catch (error) {
      throw new Error(
        `${fault}: round ${number} failed. Replay it with FAULTS_SEED=${SEED} FAULTS_ROUND=${number} npx vitest run test/faults -t '…'.`,
        { cause: error },
      );
    }
  }
  const seconds = Math.round((Date.now() - startedMs) / 1000);
  report({ fault, rounds: numbers.length, checked, seconds, seed: SEED });
}

/** What a campaign did. */
export interface CampaignReport {
  readonly fault: string;
  readonly rounds: number;
  /** What was looked at in all rounds, in the campaign's own unit. */
  readonly checked: number;
  readonly seconds: number;
  readonly seed: number;
}

function report(line: CampaignReport): void {
  mkdirSync(dirname(REPORT), { recursive: true });
  appendFileSync(REPORT, `${JSON.stringify(line)}\n`);
}
