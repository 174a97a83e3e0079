import { createRequire } from 'node:module';
import { toBinary, type DescFile, type DescService } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type * as Reflection from '@grpc/reflection';
import { addWhenAsked, type ServiceTaker } from './made-when-asked.js';

const require = createRequire(import.meta.url);

const METHODS = ['v1', 'v1alpha'].map((version) => ({
  ...{ path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo` },
  ...{ requestStream: true, responseStream: true },
}));

/** Serves reflection of a service, and of more files. */
export function addReflection(server: ServiceTaker, service: DescService, ...more: DescFile[]): void {
  addWhenAsked(server, METHODS, (taker) => {
    const { ReflectionService } = require('@grpc/reflection') as typeof Reflection;
    new ReflectionService(reflectionPackage(service, more) as never).addToServer(taker);
  });
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
