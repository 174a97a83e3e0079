import { describe } from 'vitest';
import type { StorageBackend } from '../../server/backends/backend.js';
import { annotationPromises, appendPromises, changePromises, durableChangePromises } from './suite-changes.js';
import { copyPromises } from './suite-copies.js';
import { damagePromises } from './suite-damage.js';
import { followingPromises, durableFollowingPromises } from './suite-following.js';
import { localFilesPromises } from './suite-local-files.js';
import { deletionPromises, listPromises, revisionPromises } from './suite-results.js';
import { rowPromises } from './suite-rows.js';
import { durabilityPromises, uploadPromises } from './suite-uploads.js';

/** A backend under test, as its own tests open it. */
export interface OpenedBackend extends AsyncDisposable {
  readonly backend: StorageBackend;
  /** Does the housekeeping that is due at a time. */
  sweep(nowMs: number): Promise<void>;
  /** Closes it and opens it again on the same data. Only a durable one is asked. */
  reopen(): Promise<void>;
  /** Damages all that is kept of a key but its rows, as a disk does. Only where `damages` says so. */
  damageEntry?(key: string): Promise<void>;
}

/** After which times a backend's uploads expire and its old revisions go. */
export interface BackendTimes {
  readonly upload_ttl_ms?: number;
  readonly revision_retention_ms?: number;
}

/** Opens an empty backend with these times. */
export type OpenBackend = (times?: BackendTimes) => Promise<OpenedBackend>;

/** What a backend promises beyond what all of them do. */
export interface SuitePromises {
  /** Rows and commits survive that it is opened again. */
  readonly durable: boolean;
  /** A SYNC save has been copied to a second store when it is committed. */
  readonly replicates?: boolean;
  /** Tests can damage what it keeps of a key. */
  readonly damages?: boolean;
  /** Rows of more than a few KiB lie in files that others can read. */
  readonly hasLocalFiles?: boolean;
}

/** What every backend promises. A new one is done when it passes. */
export function backendSuite(name: string, open: OpenBackend, promises: SuitePromises): void {
  describe(`${name}: rows`, () => rowPromises(open));
  describe(`${name}: uploads`, () => uploadPromises(open));
  describe(`${name}: revisions`, () => revisionPromises(open));
  describe(`${name}: deletion`, () => deletionPromises(open));
  describe(`${name}: lists`, () => listPromises(open));
  describe(`${name}: annotations`, () => annotationPromises(open));
  describe(`${name}: appends`, () => appendPromises(open));
  describe(`${name}: copies and moves`, () => copyPromises(open));
  describe(`${name}: changes`, () => changePromises(open, promises.replicates === true));
  describe(`${name}: uploads that are followed`, () => followingPromises(open));
  if (promises.hasLocalFiles === true) describe(`${name}: files that others read`, () => localFilesPromises(open));
  if (promises.damages === true) describe(`${name}: damage`, () => damagePromises(open));
  if (!promises.durable) return;
  describe(`${name}: durability of uploads that are followed`, () => durableFollowingPromises(open));
  describe(`${name}: durability`, () => durabilityPromises(open));
  describe(`${name}: durability of changes`, () => durableChangePromises(open));
}
