/** Points of a plane that were passed, smaller being better, as far as they matter to those that come. */
export interface PassedPoints {
  /** Passes a point; false where one that was passed before is as good or better in both coordinates. */
  pass(y: number, z: number): boolean;
}

/** Points whose z is all the same. */
export class PassedOnLine implements PassedPoints {
  private lowest = NaN;

  pass(y: number): boolean {
    if (this.lowest <= y) return false;
    this.lowest = y;
    return true;
  }
}

/** Part of a staircase: ordered by y, so that z falls. */
interface Stretch {
  readonly ys: number[];
  readonly zs: number[];
}

/** In one array of two hundred thousand, a point put in takes 0.1 ms; in a stretch a thousandth of that. */
const STRETCH_MAX = 512;

/** A staircase in stretches: as quick where no point dominates another as where one dominates all. */
export class PassedInPlane implements PassedPoints {
  private readonly stretches: Stretch[] = [];

  pass(y: number, z: number): boolean {
    const { stretches } = this;
    const place = Math.max(
      0,
      lastNotAbove(stretches.length, (i) => (stretches[i] as Stretch).ys[0] as number, y),
    );
    const stretch = stretches[place];
    if (stretch === undefined) {
      stretches.push({ ys: [y], zs: [z] });
      return true;
    }
    const { ys, zs } = stretch;
    const before = lastNotAbove(ys.length, (i) => ys[i] as number, y);
    if (before >= 0 && (zs[before] as number) <= z) return false;
    const from = before >= 0 && ys[before] === y ? before : before + 1;
    const end = from + worseThan(z, zs, from);
    if (end === zs.length) this.dropBehind(place, z);
    ys.splice(from, end - from, y);
    zs.splice(from, end - from, z);
    if (ys.length > STRETCH_MAX) this.part(place, stretch);
    return true;
  }

  /** The new point dominates stretches that follow, or the beginning of one. */
  private dropBehind(place: number, z: number): void {
    const { stretches } = this;
    let end = place + 1;
    while (end < stretches.length && ((stretches[end] as Stretch).zs.at(-1) as number) >= z) end++;
    stretches.splice(place + 1, end - place - 1);
    const next = stretches[place + 1];
    if (next === undefined) return;
    const count = worseThan(z, next.zs, 0);
    next.ys.splice(0, count);
    next.zs.splice(0, count);
  }

  private part(place: number, { ys, zs }: Stretch): void {
    const half = ys.length >>> 1;
    this.stretches.splice(place + 1, 0, { ys: ys.splice(half), zs: zs.splice(half) });
  }
}

/** How many from one on are not below `z`. */
function worseThan(z: number, zs: readonly number[], from: number): number {
  let end = from;
  while (end < zs.length && (zs[end] as number) >= z) end++;
  return end - from;
}

/** Index of the last of some ascending numbers that is not above a value; −1 where all are. */
function lastNotAbove(count: number, at: (index: number) => number, value: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(middle) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
