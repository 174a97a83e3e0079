import type { ListPosition } from '../backend.js';

/** Orders keys by their UTF-8 bytes, which is the order of code points but not of UTF-16 units. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // A surrogate stands for a code point above all that are one unit.
    const isLargeX = (x & 0xf800) === 0xd800;
    const isLargeY = (y & 0xf800) === 0xd800;
    return isLargeX === isLargeY ? x - y : isLargeX ? 1 : -1;
  }
  return a.length - b.length;
}

function comparePlaces(a: ListPosition, b: ListPosition): number {
  if (a.time !== b.time) return a.time < b.time ? -1 : 1;
  return compareKeys(a.key, b.key);
}

/** Places in order of time, then key. May change while someone walks along it. */
export class SortedPlaces {
  private readonly places: ListPosition[] = [];

  add(place: ListPosition): void {
    this.places.splice(
      this.firstIndex((other) => comparePlaces(other, place) >= 0),
      0,
      place,
    );
  }

  remove(place: ListPosition): void {
    const index = this.firstIndex((other) => comparePlaces(other, place) >= 0);
    const found = this.places[index];
    if (found !== undefined && comparePlaces(found, place) === 0) this.places.splice(index, 1);
  }

  /** The first place behind one, or of all; in descending order, the last one before it. */
  next(after: ListPosition | undefined, descending: boolean): ListPosition | undefined {
    if (after === undefined) return this.places.at(descending ? -1 : 0);
    if (descending) {
      const index = this.firstIndex((other) => comparePlaces(other, after) >= 0);
      return index === 0 ? undefined : this.places[index - 1];
    }
    return this.places[this.firstIndex((other) => comparePlaces(other, after) > 0)];
  }

  /** Index of the first place for which the test holds; it holds for all that follow. */
  private firstIndex(holds: (place: ListPosition) => boolean): number {
    let low = 0;
    let high = this.places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(this.places[middle] as ListPosition)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
