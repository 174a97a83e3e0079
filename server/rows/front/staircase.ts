/**
 * Points of a plane of which none dominates another, smaller being better: ordered by x, so that y falls. Knows the area
 * that they dominate below a reference point.
 */
export class Staircase {
  private readonly xs: number[] = [];
  private readonly ys: number[] = [];
  /** The area between the points and the reference; points beyond it add nothing. */
  area = 0;

  constructor(
    private readonly referenceX = Infinity,
    private readonly referenceY = Infinity,
  ) {}

  /** Takes a point; false where another one is as good or better in both, and nothing changes. */
  add(x: number, y: number): boolean {
    const { xs, ys } = this;
    // Behind the last point that is not worse in x.
    const at = lastNotAbove(xs, x) + 1;
    if (at > 0 && (ys[at - 1] as number) <= y) return false;
    // One of the same x that is worse in y goes, and all that follow until one is better in y.
    const from = at > 0 && xs[at - 1] === x ? at - 1 : at;
    let to = at;
    while (to < ys.length && (ys[to] as number) >= y) to++;
    this.grow(x, y, from, to);
    xs.splice(from, to - from, x);
    ys.splice(from, to - from, y);
    return true;
  }

  /** Adds the area that a point brings which replaces those from `from` to before `to`. */
  private grow(x: number, y: number, from: number, to: number): void {
    const { xs, ys, referenceX, referenceY } = this;
    if (!(x < referenceX && y < referenceY) || referenceX === Infinity || referenceY === Infinity) return;
    let left = x;
    let top = from > 0 ? Math.min(ys[from - 1] as number, referenceY) : referenceY;
    for (let i = from; i <= to; i++) {
      const right = Math.min(i < xs.length ? (xs[i] as number) : referenceX, referenceX);
      this.area += (right - left) * (top - y);
      if (i === to || right === referenceX) break;
      left = right;
      top = Math.min(ys[i] as number, referenceY);
    }
  }
}

/** Index of the last number that is not above `x`; −1 where all are. */
function lastNotAbove(sorted: readonly number[], x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) <= x) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
