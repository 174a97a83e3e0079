import type { StorageBackend } from '../../backends/backend.js';
import { tellProgress } from '../tell-progress.js';
import type { Between } from './between.js';
import { CatchingUp, type UpToDateProgress } from './bring-up-to-date.js';

/** How far it is. */
export interface StoreMigrationProgress extends UpToDateProgress {
  /** Once everything was looked at. */
  readonly end?: StoreMigrationEnd;
}

/** What the migration of a store came to. */
export interface StoreMigrationEnd {
  /** The secondary has everything that the primary had when it was looked at last. */
  readonly isComplete: boolean;
  /** Results and deletions that could not be copied. */
  readonly failedCount: number;
  /** Changes that came meanwhile, and are on their way by themselves. */
  readonly pendingCount: number;
  /** Saves in progress, which the primary alone has. */
  readonly openUploadIds: readonly string[];
}

/**
 * Copies everything from the primary to the secondary while the primary goes on serving, deletions included, and tells at least every
 * second how far it is; from the start on, every change goes to both. The same again goes on. NO_SECONDARY.
 */
export async function* migrateStore(between: Between, signal: AbortSignal): AsyncGenerator<StoreMigrationProgress> {
  const catchingUp = new CatchingUp(between, '');
  between.mirroring.start();
  const run = async function* (running: AbortSignal): AsyncGenerator<StoreMigrationProgress> {
    yield* catchingUp.run(running);
    yield { ...catchingUp.progress, end: await endOf(between.stores.primary, catchingUp.failedCount, running) };
  };
  yield* tellProgress(run, () => catchingUp.progress, 'The migration was broken off.', signal);
}

async function endOf(primary: StorageBackend, failedCount: number, signal: AbortSignal): Promise<StoreMigrationEnd> {
  const openUploadIds: string[] = [];
  for await (const { uploadId } of primary.uploads({ prefix: '' }, signal)) openUploadIds.push(uploadId);
  const { pendingCount } = await primary.stats(signal);
  return { isComplete: failedCount === 0, failedCount, pendingCount, openUploadIds };
}
