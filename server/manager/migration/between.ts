import type { Mirroring } from '../replication/mirroring.js';
import type { Stores } from '../stores.js';
import type { KeyTurns } from './key-turns.js';

/** Between what results go, and what is to be minded. */
export interface Between {
  readonly stores: Stores;
  readonly turns: KeyTurns;
  /** Whether every change of the primary goes to the secondary as well. */
  readonly mirroring: MirroringSwitch;
}

/** Tells whether everything is mirrored, and begins to. */
export type MirroringSwitch = Pick<Mirroring, 'isOn' | 'start'>;
