/** An open door. */
export interface Door {
  /** `host:port` as bound. */
  readonly address: string;
  /** Ends: no new calls, streams told where they stopped, then closed within DRAIN_MS_MAX. */
  drain(): Promise<void>;
}
