/** What a check found. `advice` says what to do, where something is to be done. */
export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'failed';
  readonly found: string;
  readonly advice?: string;
}

export function ok(check: string, found: string): Finding {
  return { check, state: 'ok', found };
}

export function warning(check: string, found: string, advice: string): Finding {
  return { check, state: 'warning', found, advice };
}

export function failed(check: string, found: string, advice: string): Finding {
  return { check, state: 'failed', found, advice };
}
