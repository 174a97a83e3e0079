import type { Batch } from '../rows/batch.js';
import type { Role } from './stores.js';

/** Rows on their way, or where they lie, and who serves them. */
export class ServedRows<Rows = Batch> implements AsyncIterable<Rows> {
  private begun: AsyncIterator<Rows> | undefined;
  private first: IteratorResult<Rows> | undefined;

  /** `roleOf` is asked anew each time: another copy may step in. */
  constructor(
    private readonly roleOf: () => Role,
    private readonly batches: AsyncIterable<Rows>,
  ) {}

  /** Who serves, as far as is known: for certain once it has begun. */
  get servedFrom(): Role {
    return this.roleOf();
  }

  /** Waits for the first rows; fails as they do. They are kept for who iterates. */
  async begin(): Promise<void> {
    this.begun ??= this.batches[Symbol.asyncIterator]();
    this.first ??= await this.begun.next();
  }

  /** Lets rows go that were begun, where nobody iterates to their end. */
  async end(): Promise<void> {
    await this.begun?.return?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Rows> {
    const rest = this.begun ?? this.batches[Symbol.asyncIterator]();
    try {
      let next = this.first ?? (await rest.next());
      this.first = undefined;
      for (; next.done !== true; next = await rest.next()) yield next.value;
    } finally {
      await rest.return?.();
    }
  }
}
