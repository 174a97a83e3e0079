import { timestampDate, type Timestamp } from '@bufbuild/protobuf/wkt';

/** Bytes for people. */
export function megabytes(bytes: bigint): string {
  return `${(Number(bytes) / 1e6).toFixed(Number(bytes) < 1e7 ? 3 : 0)} MB`;
}

/** A time for people, to the second, in UTC. */
export function timeOf(at: Timestamp | undefined): string {
  return at === undefined ? '-' : timestampDate(at).toISOString().slice(0, 19).replace('T', ' ');
}

/** `1 row`, `2 rows`. */
export function counted(count: number | bigint, one: string, many = `${one}s`): string {
  return `${count} ${Number(count) === 1 ? one : many}`;
}
