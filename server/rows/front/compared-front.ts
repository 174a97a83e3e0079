import type { FrontRows, ParetoFront } from './pareto-front.js';

/** So many comparisons of two points take a second or two; then boxes are made. */
const COMPARISONS_MAX = 50_000_000;
/** The front crosses at most about so many boxes: each objective is parted into as many as that allows. */
const BOXES = 65_536;

/** A row that is on the front. */
interface Member {
  readonly row: number;
  readonly point: Float64Array;
  /** Its box, once there are boxes. */
  box: Uint16Array;
}

/**
 * The front of four objectives or more: each row is compared with those that are on it. Where that takes too long, the objectives are
 * parted into boxes, and one row of a box counts; as of then it is not exact. See Laumanns et al., Combining convergence
 * and diversity in evolutionary multiobjective optimization (2002).
 */
export class ComparedFront implements ParetoFront {
  /** None waits: each is compared as it comes. */
  readonly isDue = false;
  private members: Member[] = [];
  private comparisons = 0;
  private boxes: Boxes | undefined;

  constructor(private readonly objectiveCount: number) {}

  get isExact(): boolean {
    return this.boxes === undefined;
  }

  *settling(): Generator<void, void> {
    // Nothing waits.
  }

  add(row: number, point: Float64Array): void {
    if (point.some((value) => value !== value)) return;
    if (this.boxes === undefined && this.comparisons >= COMPARISONS_MAX) this.makeBoxes();
    if (this.boxes === undefined) this.compare({ row, point: point.slice(), box: NO_BOX });
    else this.addToBox(this.boxes, row, point);
  }

  rows(): FrontRows {
    const members = [...this.members].sort((a, b) => (a.point[0] as number) - (b.point[0] as number) || a.row - b.row);
    const points = new Float64Array(members.length * this.objectiveCount);
    members.forEach(({ point }, i) => points.set(point, i * this.objectiveCount));
    return { rows: Float64Array.from(members, ({ row }) => row), points };
  }

  /** Takes a member unless another one dominates it; those that it dominates go. */
  private compare(member: Member): void {
    const { members } = this;
    let kept = 0;
    for (let i = 0; i < members.length; i++) {
      const other = members[i] as Member;
      this.comparisons++;
      if (isNotWorse(other.point, member.point)) {
        // Nobody was dropped so far: the other one dominates whatever this one does, and stands beside them.
        this.bringForward(i);
        return;
      }
      if (!isNotWorse(member.point, other.point)) members[kept++] = other;
    }
    members.length = kept;
    members.push(member);
  }

  /** Who dominates one row is likely to dominate the next. */
  private bringForward(at: number): void {
    const ahead = at >>> 1;
    [this.members[at], this.members[ahead]] = [this.members[ahead] as Member, this.members[at] as Member];
  }

  private makeBoxes(): void {
    this.boxes = new Boxes(this.members, this.objectiveCount);
    const members = [...this.members].sort((a, b) => a.row - b.row);
    this.members = [];
    this.comparisons = 0;
    for (const { row, point } of members) this.addToBox(this.boxes, row, point);
  }

  private addToBox(boxes: Boxes, row: number, point: Float64Array): void {
    const { box, name } = boxes.of(point);
    const known = boxes.members.get(name);
    const member: Member = { row, point: point.slice(), box };
    if (known === 'dominated') return;
    if (known !== undefined) {
      if (isNotWorse(point, known.point) && !isNotWorse(known.point, point)) this.replace(boxes, name, known, member);
      return;
    }
    // What was found by then stands for the rest.
    if (this.comparisons >= COMPARISONS_MAX) return;
    boxes.members.set(name, this.admit(boxes, member) ? member : 'dominated');
  }

  private replace(boxes: Boxes, name: string, known: Member, member: Member): void {
    boxes.members.set(name, member);
    this.members[this.members.indexOf(known)] = member;
  }

  private admit(boxes: Boxes, member: Member): boolean {
    const { members } = this;
    for (const other of members) {
      this.comparisons++;
      if (isNotWorse(other.box, member.box)) return false;
    }
    this.members = members.filter((other) => {
      const stays = !isNotWorse(member.box, other.box);
      if (!stays) boxes.members.set(nameOf(other.box), 'dominated');
      return stays;
    });
    this.members.push(member);
    return true;
  }
}

const NO_BOX = new Uint16Array(0);

/** The objectives parted evenly over what the front had when they were made; what lies beyond is in the box at the end. */
class Boxes {
  readonly members = new Map<string, Member | 'dominated'>();
  private readonly low: Float64Array;
  private readonly width: Float64Array;
  private readonly divisions: number;

  constructor(members: readonly Member[], objectiveCount: number) {
    this.divisions = Math.max(2, Math.floor(BOXES ** (1 / (objectiveCount - 1))));
    const ranges = Array.from({ length: objectiveCount }, (_, c) => rangeOf(members, c));
    this.low = Float64Array.from(ranges, ([low]) => low);
    this.width = Float64Array.from(ranges, ([low, high]) => (high - low) / this.divisions);
  }

  of(point: Float64Array): { box: Uint16Array; name: string } {
    const box = Uint16Array.from(point, (value, c) => {
      const at = Math.floor((value - (this.low[c] as number)) / (this.width[c] as number));
      // Not NaN, where all have one value: below every number.
      return at >= 0 ? Math.min(at, this.divisions - 1) : 0;
    });
    return { box, name: nameOf(box) };
  }
}

/** From the smallest to the largest finite value of an objective. */
function rangeOf(members: readonly Member[], c: number): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (const { point } of members) {
    const value = point[c] as number;
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 0];
}

function nameOf(box: Uint16Array): string {
  return String.fromCharCode(...box);
}

/** Whether `a` is as good as `b` in every objective. */
function isNotWorse(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let c = 0; c < a.length; c++) if ((a[c] as number) > (b[c] as number)) return false;
  return true;
}
