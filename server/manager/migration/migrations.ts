import type { Stores } from '../stores.js';
import type { Between, MirroringSwitch } from './between.js';
import { bringUpToDate, type UpToDateProgress } from './bring-up-to-date.js';
import { KeyTurns } from './key-turns.js';
import { migrateResults, type MigrationProgress, type MigrationSpec } from './migrate-result.js';
import { migrateStore, type StoreMigrationProgress } from './migrate-store.js';

/** What goes between the stores of one manager: of each key, one at a time. */
export class Migrations {
  private readonly turns = new KeyTurns();
  private readonly between: Between;

  constructor(
    stores: Stores,
    mirroring: MirroringSwitch,
    /** Told of a key that has got into another store, or out of one. */
    private readonly moved: (key: string) => void,
  ) {
    this.between = { stores, mirroring, turns: this.turns };
  }

  /** See migrateResults. */
  async *migrate(spec: MigrationSpec, signal: AbortSignal): AsyncGenerator<MigrationProgress> {
    for await (const progress of migrateResults(this.between, spec, signal)) {
      if (progress.copy !== undefined) this.moved(progress.key);
      yield progress;
    }
  }

  /** See bringUpToDate. */
  bringUpToDate(prefix: string, signal: AbortSignal): AsyncIterable<UpToDateProgress> {
    return bringUpToDate(this.between, prefix, signal);
  }

  /** See migrateStore. */
  migrateStore(signal: AbortSignal): AsyncIterable<StoreMigrationProgress> {
    return migrateStore(this.between, signal);
  }

  /** Removes a copy, or does what else would be wrong while a key is on its way, when it is on no way. */
  inTurn<T>(key: string, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    return this.turns.run(key, signal, act);
  }
}
