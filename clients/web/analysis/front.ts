/**
 * The rows, of those given, that no other one dominates: smaller is better, no value is NaN. Of equal ones the first. Two objectives
 * are sorted and passed over once, three keep a staircase of the first two, more are compared with the front so far.
 */
export function frontOf(values: readonly Float64Array[], rows: Uint32Array): Uint32Array {
  if (values.length === 0 || rows.length === 0) return new Uint32Array(0);
  const order = inOrder(values, rows);
  switch (values.length) {
    case 1:
      return order.slice(0, 1);
    case 2:
      return frontOfTwo(values, order);
    case 3:
      return frontOfThree(values, order);
    default:
      return frontOfMany(values, order);
  }
}

/** By the last objective, then the others, then the row: what dominates a row stands before it. */
function inOrder(values: readonly Float64Array[], rows: Uint32Array): Uint32Array {
  const last = values.length - 1;
  return rows.slice().sort((a, b) => {
    for (let k = last; k >= 0; k--) {
      const objective = values[k] as Float64Array;
      const [left, right] = [objective[a] as number, objective[b] as number];
      if (left !== right) return left < right ? -1 : 1;
    }
    return a - b;
  });
}

function frontOfTwo([first]: readonly Float64Array[], order: Uint32Array): Uint32Array {
  const front: number[] = [];
  let best: number | undefined;
  for (const row of order) {
    const value = (first as Float64Array)[row] as number;
    if (best !== undefined && value >= best) continue;
    best = value;
    front.push(row);
  }
  return Uint32Array.from(front);
}

function frontOfThree([first, second]: readonly Float64Array[], order: Uint32Array): Uint32Array {
  const front: number[] = [];
  const staircase = new Staircase();
  for (const row of order)
    if (staircase.add((first as Float64Array)[row] as number, (second as Float64Array)[row] as number)) front.push(row);
  return Uint32Array.from(front);
}

/** Points in two objectives of which none dominates another: the first ascends while the second descends. */
export class Staircase {
  readonly first: number[] = [];
  readonly second: number[] = [];

  /** Takes a point unless another one is as good in both; leaves out those that it dominates. Gives whether it was taken. */
  add(first: number, second: number): boolean {
    const at = this.placeOf(first);
    if (at > 0 && (this.second[at - 1] as number) <= second) return false;
    if (this.first[at] === first && (this.second[at] as number) <= second) return false;
    let end = at;
    while (end < this.second.length && (this.second[end] as number) >= second) end++;
    this.first.splice(at, end - at, first);
    this.second.splice(at, end - at, second);
    return true;
  }

  /** The place of the first point that is not less in the first objective. */
  private placeOf(first: number): number {
    let [low, high] = [0, this.first.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.first[middle] as number) < first) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function frontOfMany(values: readonly Float64Array[], order: Uint32Array): Uint32Array {
  const front: number[] = [];
  for (const row of order) {
    const by = front.findIndex((other) => isAsGood(values, other, row));
    if (by < 0) front.push(row);
    else if (by > 0) {
      // What has dominated much will again: it is compared first.
      const found = front[by] as number;
      front[by] = front[by - 1] as number;
      front[by - 1] = found;
    }
  }
  return Uint32Array.from(front);
}

/** Whether `a` is as good as `b` in every objective. */
export function isAsGood(values: readonly Float64Array[], a: number, b: number): boolean {
  for (const objective of values) if ((objective[a] as number) > (objective[b] as number)) return false;
  return true;
}
