import { circuitBreaker, CircuitState, ConsecutiveBreaker, handleAll, isBrokenCircuitError } from 'cockatiel';
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
    this.policy = circuitBreaker(handleAll, {
      halfOpenAfter: probeMs,
      breaker: new ConsecutiveBreaker(BREAKER_FAILURES),
    });
  }

  /** Calls fail at once. */
  get isOpen(): boolean {
    return this.policy.state !== CircuitState.Closed;
  }

  /** Calls the store, or fails at once. */
  async run<T>(act: () => Promise<T>): Promise<T> {
    // The one that asks may wait long for a dead store: nobody else waits with it.
    if (this.policy.state === CircuitState.HalfOpen) throw this.notAsked();
    const outcome = await this.policy
      .execute(() => this.answered(act))
      .catch((error: unknown) => {
        throw isBrokenCircuitError(error) ? this.notAsked() : error;
      });
    if ('failure' in outcome) throw outcome.failure;
    return outcome.value;
  }

  /** Only an outage fails here: a store that refuses has answered, and the failures before it were not on end. */
  private async answered<T>(act: () => Promise<T>): Promise<{ value: T } | { failure: unknown }> {
    try {
      return { value: await act() };
    } catch (failure) {
      if (!(failure instanceof StorageError) || failure.reason !== 'BACKEND_UNAVAILABLE') return { failure };
      this.lastFailure = failure.message;
      throw failure;
    }
  }

  private notAsked(): StorageError {
    return new StorageError(
      'BACKEND_UNAVAILABLE',
      `The ${this.role} store has failed ${BREAKER_FAILURES} times on end and is asked again every ${BREAKER_PROBE_MS / 1000} s: ${this.lastFailure}`,
    );
  }
}
