import { OptistoreError, type StoreRole } from '../../clients/typescript/index.js';
import { VerifyState } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { untilKilled, type Activity, type KillWorker } from './kill-worker.js';

const PLACES: readonly StoreRole[] = ['primary', 'secondary'];

/** Moves results of workers from store to store and back while they work, some by copies that stay. */
export function migrates(workers: readonly KillWorker[]): Activity {
  const keys = workers.flatMap(({ ledger }) => ledger.keys.map(({ key }) => key));
  return (place) =>
    untilKilled(place, async () => {
      const { roll, client, onAnswer } = place;
      const key = keys[Math.floor(roll() * keys.length)] ?? '';
      const [from, to] = roll() < 0.5 ? (['primary', 'secondary'] as const) : (['secondary', 'primary'] as const);
      const what = roll() < 0.8 ? { key } : { prefix: key.slice(0, key.indexOf('/') + 1) };
      try {
        for await (const { done } of client.migrate(what, { from, to, keepSource: roll() < 0.2 })) if (done) onAnswer();
      } catch (error) {
        // It is not there, or was changed meanwhile.
        if (!isOf(error, ['RESULT_NOT_FOUND', 'REVISION_MISMATCH'])) throw error;
      }
    });
}

/** Verifies and repairs one of the stores or both, again and again. */
export const repairs: Activity = (place) =>
  untilKilled(place, async () => {
    const from = PLACES[Math.floor(place.roll() * 3)];
    const copies = place.client.verifyResults({ repair: true, ...(from && { from }) });
    for await (const { state } of copies) if (state !== VerifyState.OK) place.onAnswer();
  });

function isOf(error: unknown, reasons: readonly string[]): boolean {
  return error instanceof OptistoreError && reasons.includes(error.reason ?? '');
}
