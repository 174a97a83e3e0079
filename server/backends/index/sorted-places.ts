import type { ListPosition } from '../backend.js';
import { compareKeys } from '../../text-order.js';

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
