import { createRequire } from 'node:module';
import type * as HealthCheck from 'grpc-health-check';
import { Health } from '../../../proto/gen/grpc/health/v1/health_pb.js';
import { addWhenAsked, type ServiceTaker } from './made-when-asked.js';

const require = createRequire(import.meta.url);

/** The health of a server's services, by gRPC's protocol for it: all serve, until they drain. */
export class ServicesHealth {
  private made: HealthCheck.HealthImplementation | undefined;
  private status: 'SERVING' | 'NOT_SERVING' = 'SERVING';

  /** The names of the services; the empty one is for the server as a whole. */
  constructor(private readonly names: readonly string[]) {}

  /** Serves it, at all methods of the protocol. */
  addTo(server: ServiceTaker): void {
    const methods = Health.methods.map(({ name, methodKind }) => ({
      ...{ path: `/${Health.typeName}/${name}`, requestStream: false },
      responseStream: methodKind === 'server_streaming',
    }));
    addWhenAsked(server, methods, (taker) => {
      const { HealthImplementation } = require('grpc-health-check') as typeof HealthCheck;
      this.made = new HealthImplementation(Object.fromEntries(this.names.map((name) => [name, this.status])));
      this.made.addToServer(taker);
    });
  }

  /** Says from now on that nothing serves, and tells those who watch. */
  drain(): void {
    this.status = 'NOT_SERVING';
    for (const name of this.names) this.made?.setStatus(name, this.status);
  }
}
