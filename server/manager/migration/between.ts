import type { Stores } from '../stores.js';
import type { KeyTurns } from './key-turns.js';

/** Between what results go, and what is to be minded. */
export interface Between {
  readonly stores: Stores;
  readonly turns: KeyTurns;
  readonly mirroring: Mirroring;
}

/** Whether every change of the primary goes to the secondary as well. */
export interface Mirroring {
  readonly isOn: boolean;
  /** From now on until the daemon stops. */
  start(): void;
}
