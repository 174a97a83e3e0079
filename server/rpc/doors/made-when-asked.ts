import type { MethodDefinition, Server, UntypedHandleCall } from '@grpc/grpc-js';

/** Takes a service, as a server does. */
export type ServiceTaker = Pick<Server, 'addService'>;
/** What must be known of a method before its service is made. */
export type Announced = Pick<MethodDefinition<unknown, unknown>, 'path' | 'requestStream' | 'responseStream'>;

/** Of any kind of method: a stream's has no callback. */
type Handle = (call: unknown, callback: unknown) => void;

interface Made {
  readonly definition: MethodDefinition<unknown, unknown>;
  readonly handle: UntypedHandleCall;
}

/**
 * Adds methods of a service that a library makes, once one of them is called: to load and to make what few daemons are ever asked
 * takes a good part of the time in which a daemon starts.
 */
export function addWhenAsked(
  server: ServiceTaker,
  methods: readonly Announced[],
  addTo: (taker: ServiceTaker) => void,
): void {
  let made: ReadonlyMap<string, Made> | undefined;
  const madeAt = (path: string) => (made ??= takeFrom(addTo)).get(path) as Made;
  for (const { path, requestStream, responseStream } of methods) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    const definition: MethodDefinition<unknown, unknown> = {
      ...{ path, requestStream, responseStream },
      requestSerialize: (message) => madeAt(path).definition.requestSerialize(message),
      requestDeserialize: (bytes) => madeAt(path).definition.requestDeserialize(bytes),
      responseSerialize: (message) => madeAt(path).definition.responseSerialize(message),
      responseDeserialize: (bytes) => madeAt(path).definition.responseDeserialize(bytes),
    };
    const handle: Handle = (call, callback) => (madeAt(path).handle as Handle)(call, callback);
    server.addService({ [name]: definition }, { [name]: handle as UntypedHandleCall });
  }
}

/** What a library adds to a server, by path. */
function takeFrom(addTo: (taker: ServiceTaker) => void): ReadonlyMap<string, Made> {
  const made = new Map<string, Made>();
  addTo({
    addService: (definitions, handlers) => {
      for (const [name, definition] of Object.entries(definitions)) {
        const handle = handlers[name] ?? handlers[definition.originalName ?? name];
        made.set(definition.path, { definition, handle: handle as UntypedHandleCall });
      }
    },
  });
  return made;
}
