import { toStorageError, throwIfCancelled } from '../../errors.js';

/**
 * Lets one at a time take a key from one store to another. Two that went opposite ways would each find the other's copy, and
 * remove both.
 */
export class KeyTurns {
  private readonly last = new Map<string, Promise<void>>();

  /** Acts once nobody else has the key. Who gives up waiting, by the signal, lets nobody pass those still before it. */
  async run<T>(key: string, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    throwIfCancelled(signal);
    const before = this.last.get(key);
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const turn = (before ?? Promise.resolve()).then(() => ended);
    this.last.set(key, turn);
    void turn.then(() => this.last.get(key) === turn && this.last.delete(key));
    try {
      if (before !== undefined) await settled(before, signal);
      return await act();
    } finally {
      end();
    }
  }
}

/** Waits for a turn to end, or for the signal: rejects with its reason. */
function settled(turn: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(toStorageError(signal.reason));
    signal.addEventListener('abort', giveUp, { once: true });
    void turn.then(() => {
      signal.removeEventListener('abort', giveUp);
      resolve();
    });
  });
}
