import type { FileHandle } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { Serial } from '../serial.js';
import { isMark } from '../blocks/frame-format.js';
import { wholeFrames } from './frames.js';

/** A place is kept for each so many bytes: less is read again sooner than it is remembered. */
const PLACE_BYTES = 256 * 1024;
/** Files of which places are kept; of others they are found again. */
const FILES_MAX = 1000;

/** Where the rows of one epoch's frames lie, as far as its file was looked through. Frames are only added to it. */
class FramePlaces {
  private readonly serial = new Serial();
  private readonly places: { row: number; at: number }[];
  /** The row behind those that were on stable storage, and acked, when their process said so. */
  markedRow = 0;
  /** Where what was found ends. */
  endBytes = 0;

  /** `nextRow`: the row behind those that were found, whose frames all check. */
  constructor(
    public nextRow: number,
    private readonly tag: number,
  ) {
    this.places = [{ row: nextRow, at: 0 }];
  }

  /** Looks through what was added since, up to a row. Frames that do not follow are those of a process that was fenced. */
  extend(file: FileHandle, endRow: number): Promise<void> {
    return this.serial.run(async () => {
      if (this.nextRow >= endRow) return;
      for await (const { header, at } of wholeFrames(file, this.tag, this.endBytes)) {
        if (isMark(header)) {
          this.markedRow = Math.max(this.markedRow, Math.min(header.firstRow, this.nextRow));
          this.endBytes = at + header.byteLength;
          continue;
        }
        if (header.firstRow !== this.nextRow || header.firstRow + header.rowCount > endRow) return;
        if (at - (this.places.at(-1)?.at ?? 0) >= PLACE_BYTES) this.places.push({ row: header.firstRow, at });
        this.nextRow += header.rowCount;
        this.endBytes = at + header.byteLength;
      }
    });
  }

  /** Where a frame begins that has a row, or one before it. */
  before(row: number): number {
    return this.places.findLast((place) => place.row <= row)?.at ?? 0;
  }
}

/** Places of the files that were read last. */
export class KeptPlaces {
  private readonly kept = new LRUCache<string, FramePlaces>({ max: FILES_MAX });

  /** The places of a file whose first row is known. */
  of(path: string, firstRow: number, tag: number): FramePlaces {
    const places = this.kept.get(path) ?? new FramePlaces(firstRow, tag);
    this.kept.set(path, places);
    return places;
  }
}
