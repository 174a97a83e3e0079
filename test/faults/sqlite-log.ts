const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/** Where the last commit begins in the bytes of a SQLite log that is whole. */
export function lastCommitAt(log: Buffer): number {
  if (log.byteLength < HEADER_BYTES) return 0;
  const frameBytes = FRAME_HEADER_BYTES + log.readUInt32BE(8);
  const begins = [HEADER_BYTES];
  for (let at = HEADER_BYTES; at + frameBytes <= log.byteLength; at += frameBytes) {
    // What an earlier use of the log has left behind has other salts.
    if (!log.subarray(at + 8, at + 16).equals(log.subarray(16, 24))) break;
    if (log.readUInt32BE(at + 4) !== 0) begins.push(at + frameBytes);
  }
  return begins.at(-2) ?? 0;
}
