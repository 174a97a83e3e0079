import { toStorageError } from '../errors.js';

/** Who reads what, by name, so that it is not removed meanwhile. */
export class Readers {
  private readonly counts = new Map<string, number>();

  /** Counts a reader of these names until what is returned is disposed of, and so long after it. */
  reading(names: readonly string[], keptMs = 0): Disposable {
    for (const name of names) this.count(name, 1);
    const end = () => {
      for (const name of names) this.count(name, -1);
    };
    return { [Symbol.dispose]: () => void (keptMs === 0 ? end() : setTimeout(end, keptMs).unref()) };
  }

  /** Rows of these names, which are read meanwhile. What fails is a StorageError. */
  async *during<T>(names: readonly string[], rows: AsyncIterable<T>, keptMs = 0): AsyncGenerator<T> {
    const reading = this.reading(names, keptMs);
    try {
      yield* rows;
    } catch (error) {
      throw toStorageError(error);
    } finally {
      reading[Symbol.dispose]();
    }
  }

  /** Whether somebody reads it. */
  isRead(name: string): boolean {
    return this.counts.has(name);
  }

  private count(name: string, more: 1 | -1): void {
    const count = (this.counts.get(name) ?? 0) + more;
    if (count === 0) this.counts.delete(name);
    else this.counts.set(name, count);
  }
}
