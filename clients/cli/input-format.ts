import { InputError } from './input-error.js';
import type { PeekedInput } from './peeked-input.js';

/** Forms in which rows come; Parquet from files alone, all others also as a stream. */
export const INPUT_FORMATS = ['csv', 'ndjson', 'arrow', 'parquet'] as const;

export type InputFormat = (typeof INPUT_FORMATS)[number];

/** What an IPC file begins with: the same stream follows, and behind it a footer. */
export const ARROW_FILE_HEAD = Buffer.from('ARROW1\0\0');
const ARROW_STREAM_HEAD = Buffer.from([0xff, 0xff, 0xff, 0xff]);
/** What else people have, and how it becomes something that is read. */
const FOREIGN: readonly (readonly [head: Buffer, name: string, way: string])[] = [
  [Buffer.from([0x1f, 0x8b]), 'compressed by gzip', 'Unpack it on the way: gzip -dc FILE | optistore save KEY -'],
  [
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
    'compressed by zstd',
    'Unpack it on the way: zstd -dc FILE | optistore save KEY -',
  ],
];
/** What Parquet begins with. */
export const PARQUET_HEAD = Buffer.from('PAR1');
const KNOWN_HEADS = [ARROW_FILE_HEAD, ARROW_STREAM_HEAD, PARQUET_HEAD, ...FOREIGN.map(([head]) => head)];
/** A byte order mark is none of the text. */
const BLANKS = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf]);
const BLANKS_MAX = 4096;

/** The format that the name of a file tells. Undefined: none. */
export function formatOfName(file: string): InputFormat | undefined {
  if (/\.csv$/i.test(file)) return 'csv';
  if (/\.(ndjson|jsonl)$/i.test(file)) return 'ndjson';
  if (/\.(parquet|pq)$/i.test(file)) return 'parquet';
  return /\.(arrow|arrows|feather)$/i.test(file) ? 'arrow' : undefined;
}

/** The format that the first bytes tell: as many as are needed for that are waited for. InputError. */
export async function formatOf(input: PeekedInput): Promise<InputFormat> {
  let head = await input.peek(1);
  for (;;) {
    const now = head;
    const startsWith = (bytes: Buffer) => now.subarray(0, bytes.byteLength).equals(bytes);
    if (startsWith(ARROW_FILE_HEAD) || startsWith(ARROW_STREAM_HEAD)) return 'arrow';
    if (startsWith(PARQUET_HEAD)) return 'parquet';
    const foreign = FOREIGN.find(([bytes]) => startsWith(bytes));
    if (foreign !== undefined) throw new InputError(`The input is ${foreign[1]}, which is not read. ${foreign[2]}`);
    const mayBeKnown = KNOWN_HEADS.some((bytes) => bytes.subarray(0, now.byteLength).equals(now));
    const first = now.find((byte) => !BLANKS.has(byte));
    if (!mayBeKnown && first !== undefined) return first === 0x7b ? 'ndjson' : 'csv';
    if (now.byteLength >= BLANKS_MAX) return 'csv';
    head = await input.peek(now.byteLength + 1);
    if (head.byteLength === now.byteLength) return first === 0x7b ? 'ndjson' : 'csv';
  }
}
