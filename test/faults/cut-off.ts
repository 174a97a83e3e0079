import { OptistoreError } from '../../clients/typescript/index.js';

/** Whether a call broke off: its daemon did not answer. */
export function isCutOff(error: unknown): boolean {
  return error instanceof OptistoreError && error.isRetryable && error.reason === undefined;
}
