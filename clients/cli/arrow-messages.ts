import { Message } from 'apache-arrow/ipc/metadata/message';
import { InputError } from './input-error.js';
import { ARROW_FILE_HEAD } from './input-format.js';
import type { PeekedInput } from './peeked-input.js';

const CONTINUATION = 0xffffffff;
/** A schema of 16,384 columns has some 2 MiB. */
const METADATA_BYTES_MAX = 64 * 2 ** 20;
const BODY_BYTES_MAX = 2 ** 31;
const FILE_TAIL = ARROW_FILE_HEAD.subarray(0, 6);

/** A message and its body, which lies in memory of its own. */
export interface ArrowMessage {
  readonly message: Message;
  readonly body: Uint8Array;
}

/**
 * The messages of an Arrow IPC stream, or of the stream that an IPC file holds, each as soon as its last byte is there:
 * apache-arrow's own reader keeps a batch back until the next one begins. One is held at a time. InputError where the input
 * breaks off, and where something follows behind its end.
 */
export async function* arrowMessages(input: PeekedInput): AsyncGenerator<ArrowMessage, void> {
  const isFile = (await input.peek(ARROW_FILE_HEAD.byteLength)).subarray(0, 8).equals(ARROW_FILE_HEAD);
  const bytes = new ByteReader(input);
  if (isFile) await bytes.take(ARROW_FILE_HEAD.byteLength);
  for (;;) {
    const prefix = await bytes.take(8);
    // Who writes a stream may end it by closing the pipe.
    if (prefix === undefined && !isFile) return;
    const view = new DataView((prefix ?? breakOff()).buffer);
    if (view.getUint32(0, true) !== CONTINUATION)
      throw new InputError('The input is no Arrow IPC stream or file: a message does not begin as one does.');
    const metadataBytes = view.getUint32(4, true);
    if (metadataBytes === 0) break;
    if (metadataBytes > METADATA_BYTES_MAX) throw new InputError('The input is no Arrow IPC stream or file.');
    const message = decode((await bytes.take(metadataBytes)) ?? breakOff());
    yield { message, body: (await bytes.take(message.bodyLength)) ?? breakOff() };
  }
  await checkEnd(bytes, isFile);
}

function breakOff(): never {
  throw new InputError('The Arrow input breaks off in the middle of a batch: what writes it has not finished.');
}

/** Refuses what can not be read. */
function decode(metadata: Uint8Array): Message {
  let message: Message;
  try {
    message = Message.decode(metadata);
  } catch (error) {
    throw new InputError('The input is no Arrow IPC stream or file: a message can not be read.', { cause: error });
  }
  const batch = message.isRecordBatch()
    ? message.header()
    : message.isDictionaryBatch()
      ? message.header().data
      : undefined;
  if (batch?.compression != null)
    throw new InputError(
      'The Arrow input is compressed, which is not read. Write it uncompressed: pyarrow.feather.write_feather(…, compression="uncompressed"), pandas to_feather(…, compression="uncompressed").',
    );
  const { bodyLength } = message;
  if (bodyLength < 0 || bodyLength > BODY_BYTES_MAX)
    throw new InputError(
      `The Arrow input has a batch of ${bodyLength} bytes; at most 2 GiB are read at once. Write smaller ones.`,
    );
  return message;
}

/** Read to the end also because a writer whose pipe closes before it has written all fails. */
async function checkEnd(bytes: ByteReader, isFile: boolean): Promise<void> {
  const tail = await bytes.drain(FILE_TAIL.byteLength);
  if (isFile && !tail.equals(FILE_TAIL)) throw new InputError('The Arrow file breaks off: its end is not there.');
  if (!isFile && tail.byteLength > 0)
    throw new InputError('Something follows behind the end of the Arrow stream. Write one stream, of several batches.');
}

/** Takes so many bytes off a stream, whatever pieces it comes in. */
class ByteReader {
  private readonly chunks: AsyncIterator<Uint8Array>;
  private rest: Uint8Array = new Uint8Array(0);

  constructor(input: AsyncIterable<Uint8Array>) {
    this.chunks = input[Symbol.asyncIterator]();
  }

  /** So many bytes, in memory of their own. Undefined where the stream has ended before them; InputError where it ends within. */
  async take(byteLength: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const taken = new Uint8Array(byteLength);
    for (let at = 0; at < byteLength;) {
      if (this.rest.byteLength === 0) {
        const next = await this.chunks.next();
        if (next.done !== true) this.rest = next.value;
        else if (at === 0) return undefined;
        else breakOff();
      }
      const part = this.rest.subarray(0, byteLength - at);
      taken.set(part, at);
      at += part.byteLength;
      this.rest = this.rest.subarray(part.byteLength);
    }
    return taken;
  }

  /** Reads to the end; gives the last bytes. */
  async drain(byteLength: number): Promise<Buffer> {
    let tail = Buffer.from(this.rest).subarray(-byteLength);
    for (;;) {
      const next = await this.chunks.next();
      if (next.done === true) return tail;
      tail = Buffer.concat([tail, next.value.subarray(-byteLength)]).subarray(-byteLength);
    }
  }
}
