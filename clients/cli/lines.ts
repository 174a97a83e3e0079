import { InputError } from './input-error.js';

const QUOTE = 0x22;
const LINE_END = 0x0a;

/**
 * Cuts a stream behind line ends; in CSV, behind those that are not quoted. A parser that is fed the stream itself keeps the
 * last bytes back until more come: the row that a solver has just printed would wait for the next one. What comes last may lack its end.
 */
export async function* wholeLines(
  input: AsyncIterable<Uint8Array>,
  format: 'CSV' | 'NDJSON',
): AsyncGenerator<string, void> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let isQuoted = false;
  const decode = (bytes?: Uint8Array) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch (error) {
      throw new InputError(`The ${format} is not UTF-8. Convert it first, for instance with iconv.`, { cause: error });
    }
  };
  for await (const bytes of input) {
    const text = decode(bytes);
    let cut = 0;
    if (format === 'NDJSON') cut = text.lastIndexOf('\n') + 1;
    else
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        if (unit === QUOTE) isQuoted = !isQuoted;
        else if (unit === LINE_END && !isQuoted) cut = i + 1;
      }
    if (cut > 0) yield rest + text.slice(0, cut);
    rest = cut > 0 ? text.slice(cut) : rest + text;
  }
  rest += decode();
  if (rest !== '') yield rest;
}

/** The rows of a piece of input together; those before a wrong one come before its error. */
export function* together<Row>(rows: Iterable<Row>): Generator<Row[], void> {
  const group: Row[] = [];
  try {
    for (const row of rows) group.push(row);
  } catch (error) {
    if (group.length > 0) yield group;
    throw error;
  }
  if (group.length > 0) yield group;
}
