import type { RoomLimits } from './receive-room.js';

/** An open door. */
export interface Door {
  /** `host:port` as bound. */
  readonly address: string;
  /** Ends: no new calls, streams told where they stopped, then closed within DRAIN_MS_MAX. */
  drain(): Promise<void>;
}

/** Limits of a door that tests have shorter; each has its default in limits.ts. */
export interface DoorLimits {
  /** See CONNECTION_SILENCE_MS. */
  readonly connectionSilenceMs?: number | undefined;
  /** See CONNECTION_IDLE_MS and WEB_IDLE_MS_MAX. */
  readonly connectionIdleMs?: number | undefined;
  /** See REQUEST_MS_MAX. */
  readonly requestMsMax?: number | undefined;
  /** See STREAMS_MAX and UNTAKEN_BYTES_MAX. */
  readonly room?: RoomLimits | undefined;
}
