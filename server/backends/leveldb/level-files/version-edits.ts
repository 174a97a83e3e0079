import { ByteReader } from './bytes.js';

/** Which files LevelDB's MANIFEST says that there are. */
export interface LiveFiles {
  /** Logs from this number on hold what is in no table yet. */
  readonly logNumber: number;
  /** Lengths of the tables, by number. */
  readonly tables: ReadonlyMap<number, number>;
}

/** Applies the records of a MANIFEST. RangeError where they say something else. */
export function liveFilesOf(records: readonly Buffer[]): LiveFiles {
  const tables = new Map<number, number>();
  let logNumber = 0;
  for (const record of records) {
    const reader = new ByteReader(record);
    while (!reader.isAtEnd) {
      const tag = reader.varint();
      if (tag === 1) reader.string();
      else if (tag === 2) logNumber = reader.varint();
      else if (tag === 3 || tag === 4 || tag === 9) reader.varint();
      else if (tag === 5) {
        reader.varint();
        reader.string();
      } else if (tag === 6) {
        reader.varint();
        tables.delete(reader.varint());
      } else if (tag === 7) {
        reader.varint();
        const number = reader.varint();
        tables.set(number, reader.varint());
        reader.string();
        reader.string();
      } else throw new RangeError(`a tag ${tag}, which is not known`);
    }
  }
  return { logNumber, tables };
}
