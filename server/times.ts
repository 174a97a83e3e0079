import { create } from '@bufbuild/protobuf';
import { timestampMs, TimestampSchema, type Timestamp } from '@bufbuild/protobuf/wkt';

/** A time as nanoseconds since 1970; 0 where there is none. */
export function nanoseconds(time: Timestamp | undefined): bigint {
  return time === undefined ? 0n : time.seconds * 1_000_000_000n + BigInt(time.nanos);
}

/** A time as milliseconds since 1970; 0 where there is none. */
export function milliseconds(time: Timestamp | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}

/** A time from nanoseconds since 1970. */
export function timestampOf(nanosecondsSince: bigint): Timestamp {
  const second = 1_000_000_000n;
  return create(TimestampSchema, { seconds: nanosecondsSince / second, nanos: Number(nanosecondsSince % second) });
}
