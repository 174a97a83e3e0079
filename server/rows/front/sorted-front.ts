import type { FrontRows, ParetoFront } from './pareto-front.js';
import { PassedInPlane, PassedOnLine, type PassedPoints } from './passed-points.js';
import { stepwiseOrder } from './stepwise-order.js';

/** Fewer objectives are filled up with zeros, which decide nothing. */
const WIDTH = 3;
/** Rows that wait are sorted in together; so many at least. */
const WAITING_MIN = 8192;
/** Points that are sorted in between two steps: a millisecond or two. */
const POINTS_PER_STEP = 8192;
/** Points of the front that each new one is compared with before it may wait. */
const GUARDS = 16;

/** The front of up to three objectives: Kung, Luccio and Preparata, On finding the maxima of a set of vectors (1975). */
export class SortedFront implements ParetoFront {
  isExact = true;
  private front = new Points(WAITING_MIN);
  private waiting = new Points(WAITING_MIN);
  /** Points of the front, from end to end of it. */
  private guards: Float64Array = new Float64Array(0);

  constructor(
    private readonly objectiveCount: number,
    private readonly rowsMax: number,
  ) {}

  add(row: number, point: Float64Array): void {
    const [x = NaN, y = 0, z = 0] = point;
    if (x !== x || y !== y || z !== z || this.isGuardedFrom(x, y, z)) return;
    if (this.isDue) this.settle();
    this.waiting.push(row, x, y, z);
  }

  get isDue(): boolean {
    return this.waiting.count >= Math.max(WAITING_MIN, this.front.count / 4);
  }

  rows(): FrontRows {
    this.settle();
    const { count, rows, coordinates } = this.front;
    const points = new Float64Array(count * this.objectiveCount);
    for (let i = 0; i < count; i++)
      for (let c = 0; c < this.objectiveCount; c++)
        points[i * this.objectiveCount + c] = coordinates[i * WIDTH + c] as number;
    return { rows: rows.slice(0, count), points };
  }

  private isGuardedFrom(x: number, y: number, z: number): boolean {
    const { guards } = this;
    for (let i = 0; i < guards.length; i += WIDTH)
      if ((guards[i] as number) <= x && (guards[i + 1] as number) <= y && (guards[i + 2] as number) <= z) return true;
    return false;
  }

  private settle(): void {
    const steps = this.settling();
    while (steps.next().done !== true);
  }

  /** Sorts in what waits: whatever dominates a point stands before it. */
  *settling(): Generator<void, void> {
    if (this.waiting.count === 0) return;
    const order = yield* stepwiseOrder(this.waiting.count, (a, b) => this.waiting.compare(a, this.waiting, b));
    const merged = new Points(this.front.count + this.waiting.count);
    const passed: PassedPoints = this.objectiveCount < WIDTH ? new PassedOnLine() : new PassedInPlane();
    for (let f = 0, w = 0; f < this.front.count || w < order.length;) {
      const next = order[w];
      const isFront = next === undefined || (f < this.front.count && this.front.compare(f, this.waiting, next) <= 0);
      const from = isFront ? this.front : this.waiting;
      const at = isFront ? f++ : next;
      if (!isFront) w++;
      const [y, z] = [from.coordinates[at * WIDTH + 1] as number, from.coordinates[at * WIDTH + 2] as number];
      if (passed.pass(y, z)) merged.copy(from, at);
      if ((f + w) % POINTS_PER_STEP === 0) yield;
    }
    this.waiting = new Points(WAITING_MIN);
    this.front = merged.count > this.rowsMax ? this.thinned(merged) : merged;
    this.guards = this.front.spread(GUARDS);
  }

  /** Half of `rowsMax` rows, evenly spread, and those that are best in an objective. */
  private thinned(points: Points): Points {
    this.isExact = false;
    const kept = new Uint8Array(points.count);
    for (const at of points.best()) kept[at] = 1;
    const step = points.count / Math.max(1, Math.floor(this.rowsMax / 2));
    for (let at = 0; at < points.count; at += step) kept[Math.floor(at)] = 1;
    const thinned = new Points(Math.floor(this.rowsMax / 2) + WIDTH);
    for (let at = 0; at < points.count; at++) if (kept[at] === 1) thinned.copy(points, at);
    return thinned;
  }
}

/** Rows and their points, as they came. */
class Points {
  count = 0;
  rows: Float64Array;
  coordinates: Float64Array;

  constructor(capacity: number) {
    this.rows = new Float64Array(capacity);
    this.coordinates = new Float64Array(capacity * WIDTH);
  }

  push(row: number, x: number, y: number, z: number): void {
    if (this.count === this.rows.length) this.enlarge();
    this.rows[this.count] = row;
    this.coordinates[this.count * WIDTH] = x;
    this.coordinates[this.count * WIDTH + 1] = y;
    this.coordinates[this.count * WIDTH + 2] = z;
    this.count++;
  }

  copy({ rows, coordinates }: Points, at: number): void {
    const from = at * WIDTH;
    const x = coordinates[from] as number;
    this.push(rows[at] as number, x, coordinates[from + 1] as number, coordinates[from + 2] as number);
  }

  /** Below 0 where the point at `a` comes before the one of others at `b`: by its coordinates, then by its row. */
  compare(a: number, others: Points, b: number): number {
    for (let c = 0; c < WIDTH; c++) {
      const own = this.coordinates[a * WIDTH + c] as number;
      const other = others.coordinates[b * WIDTH + c] as number;
      if (own !== other) return own < other ? -1 : 1;
    }
    return (this.rows[a] as number) - (others.rows[b] as number);
  }

  /** Places of the points that are best in a coordinate. */
  best(): number[] {
    return Array.from({ length: WIDTH }, (_, c) => {
      let best = 0;
      for (let i = 1; i < this.count; i++)
        if ((this.coordinates[i * WIDTH + c] as number) < (this.coordinates[best * WIDTH + c] as number)) best = i;
      return best;
    });
  }

  /** At most `count` of the points, evenly spread. */
  spread(count: number): Float64Array {
    const taken = Math.min(count, this.count);
    const spread = new Float64Array(taken * WIDTH);
    for (let i = 0; i < taken; i++) {
      const at = Math.floor(((i + 0.5) * this.count) / taken) * WIDTH;
      spread.set(this.coordinates.subarray(at, at + WIDTH), i * WIDTH);
    }
    return spread;
  }

  private enlarge(): void {
    const capacity = Math.max(64, this.rows.length * 2);
    const [rows, coordinates] = [new Float64Array(capacity), new Float64Array(capacity * WIDTH)];
    rows.set(this.rows);
    coordinates.set(this.coordinates);
    [this.rows, this.coordinates] = [rows, coordinates];
  }
}
