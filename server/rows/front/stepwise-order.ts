/** Below 0 where the first stands before the second. */
export type Compare = (a: number, b: number) => number;

/** So many are sorted or merged between two steps: a millisecond or two. */
const STEP = 2048;

/** The places from 0 to before `count` in the order that `compare` tells; a step now and then, at which others may have their turn. */
export function* stepwiseOrder(count: number, compare: Compare): Generator<void, Uint32Array> {
  let order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let from = 0; from < count; from += STEP) {
    order.subarray(from, from + STEP).sort(compare);
    yield;
  }
  let merged = new Uint32Array(count);
  for (let width = STEP; width < count; width *= 2) {
    for (let from = 0; from < count; from += 2 * width)
      yield* merging(order, merged, { from, middle: Math.min(from + width, count), end: from + 2 * width }, compare);
    [order, merged] = [merged, order];
  }
  return order;
}

/** Two parts of an order, each sorted, that lie behind each other. */
interface Parts {
  readonly from: number;
  readonly middle: number;
  readonly end: number;
}

function* merging(
  order: Uint32Array,
  merged: Uint32Array,
  { from, middle, end }: Parts,
  compare: Compare,
): Generator<void, void> {
  const to = Math.min(end, order.length);
  for (let at = from, a = from, b = middle; at < to; at++) {
    const isFirst = b >= to || (a < middle && compare(order[a] as number, order[b] as number) <= 0);
    merged[at] = order[isFirst ? a++ : b++] as number;
    if (at % STEP === STEP - 1) yield;
  }
}
