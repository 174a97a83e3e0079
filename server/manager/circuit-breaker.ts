import { circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen, isBrokenCircuitError } from 'cockatiel';
import { StorageError } from '../errors.js';
import { BREAKER_FAILURES, BREAKER_PROBE_MS } from '../limits.js';
import type { Role } from './stores.js';

/**
 * Keeps a dead store from slowing every call: after some failures on end its calls fail at once with BACKEND_UNAVAILABLE, but for
 * one now and then that asks whether it is back.
 */
export class CircuitBreaker {
  private readonly policy;
  private lastFailure = '';

  constructor(
    private readonly role: Role,
    probeMs = BREAKER_PROBE_MS,
  ) {
    const counts = (error: Error) => {
      if (!(error instanceof StorageError) || error.reason !== 'BACKEND_UNAVAILABLE') return false;
      this.lastFailure = error.message;
      return true;
    };
    this.policy = circuitBreaker(handleWhen(counts), {
      halfOpenAfter: probeMs,
      breaker: new ConsecutiveBreaker(BREAKER_FAILURES),
    });
  }

  /** Calls fail at once. */
  get isOpen(): boolean {
    return this.policy.state === CircuitState.Open;
  }

  /** Calls the store, or fails at once. */
  async run<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await this.policy.execute(act);
    } catch (error) {
      if (!isBrokenCircuitError(error)) throw error;
      throw new StorageError(
        'BACKEND_UNAVAILABLE',
        `The ${this.role} store has failed ${BREAKER_FAILURES} times on end and is asked again every ${BREAKER_PROBE_MS / 1000} s: ${this.lastFailure}`,
      );
    }
  }
}
