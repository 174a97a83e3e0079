import { createRequire } from 'node:module';
import { toBinary, type DescFile, type DescService } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { handleBidiStreamingCall, MethodDefinition, Server } from '@grpc/grpc-js';
import type * as Reflection from '@grpc/reflection';

const require = createRequire(import.meta.url);

/** A version of reflection as @grpc/reflection makes it. */
interface Described {
  readonly definition: MethodDefinition<unknown, unknown>;
  readonly handle: handleBidiStreamingCall<unknown, unknown>;
}

const METHOD = 'ServerReflectionInfo';
const pathOf = (version: string) => `/grpc.reflection.${version}.ServerReflection/${METHOD}`;

/**
 * Serves reflection of a service, and of more files. What it says is made when it is first asked for, which takes a sixth of the time
 * in which a daemon starts, and few daemons are ever asked.
 */
export function addReflection(server: Pick<Server, 'addService'>, service: DescService, ...more: DescFile[]): void {
  let made: ReadonlyMap<string, Described> | undefined;
  const describedAt = (path: string) => (made ??= describe(service, more)).get(path) as Described;
  for (const path of ['v1', 'v1alpha'].map(pathOf)) {
    const definition: MethodDefinition<unknown, unknown> = {
      ...{ path, requestStream: true, responseStream: true },
      requestSerialize: (message) => describedAt(path).definition.requestSerialize(message),
      requestDeserialize: (bytes) => describedAt(path).definition.requestDeserialize(bytes),
      responseSerialize: (message) => describedAt(path).definition.responseSerialize(message),
      responseDeserialize: (bytes) => describedAt(path).definition.responseDeserialize(bytes),
    };
    const handle: handleBidiStreamingCall<unknown, unknown> = (call) => describedAt(path).handle(call);
    server.addService({ [METHOD]: definition }, { [METHOD]: handle });
  }
}

/** What @grpc/reflection would serve, by path. */
function describe(service: DescService, more: readonly DescFile[]): ReadonlyMap<string, Described> {
  const made = new Map<string, Described>();
  const taker: Pick<Server, 'addService'> = {
    addService: (definitions, handlers) => {
      for (const definition of Object.values(definitions)) {
        const name = definition.originalName ?? METHOD;
        const handle = (handlers[name] ?? handlers[METHOD]) as Described['handle'];
        made.set(definition.path, { definition: definition as MethodDefinition<unknown, unknown>, handle });
      }
    },
  };
  const { ReflectionService } = require('@grpc/reflection') as typeof Reflection;
  new ReflectionService(reflectionPackage(service, more) as never).addToServer(taker);
  return made;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What @grpc/reflection reads of a package: these files and all that they import, as descriptors. */
function reflectionPackage(service: DescService, more: readonly DescFile[]) {
  const files = new Map<string, DescFile>();
  const visit = (file: DescFile): void => {
    if (files.has(file.name)) return;
    files.set(file.name, file);
    file.dependencies.forEach(visit);
  };
  [service.file, ...more].forEach(visit);
  const fileDescriptorProtos = [...files.values()].map((file) =>
    asBuffer(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  return { [service.typeName]: { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos } };
}
