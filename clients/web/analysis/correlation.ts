/** How columns go together. Symmetric matrices, row by row; NaN where a column does not vary or no pair is whole. */
export interface Correlation {
  readonly pearson: Float64Array;
  readonly spearman: Float64Array;
  /** Rows that were looked at: evenly spread, where there are more than ROWS_LOOKED_AT_MAX. */
  readonly rowCount: number;
}

/** Ranking every column of a long run takes seconds, and the third digit does not change any more. */
export const ROWS_LOOKED_AT_MAX = 20_000;

/** Correlations of each pair of columns, over the rows where both have a finite value. */
export function correlationOf(columns: readonly Float64Array[]): Correlation {
  const thinned = columns.map(thin);
  const rowCount = thinned[0]?.length ?? 0;
  const isWhole = thinned.map((values) => values.every(Number.isFinite));
  const ranks = thinned.map((values, i) => (isWhole[i] ? ranksOf(values) : values));
  const count = columns.length;
  const pearson = new Float64Array(count * count).fill(NaN);
  const spearman = new Float64Array(count * count).fill(NaN);
  for (let i = 0; i < count; i++)
    for (let k = i; k < count; k++) {
      const pair = [thinned[i] as Float64Array, thinned[k] as Float64Array] as const;
      const whole = isWhole[i] && isWhole[k] ? pair : wholePairs(...pair);
      const ranked =
        whole === pair
          ? ([ranks[i] as Float64Array, ranks[k] as Float64Array] as const)
          : ([ranksOf(whole[0]), ranksOf(whole[1])] as const);
      pearson[i * count + k] = pearson[k * count + i] = coefficient(...whole);
      spearman[i * count + k] = spearman[k * count + i] = coefficient(...ranked);
    }
  return { pearson, spearman, rowCount };
}

function thin(values: Float64Array): Float64Array {
  if (values.length <= ROWS_LOOKED_AT_MAX) return values;
  const stride = values.length / ROWS_LOOKED_AT_MAX;
  return Float64Array.from({ length: ROWS_LOOKED_AT_MAX }, (_, i) => values[Math.floor(i * stride)] as number);
}

function wholePairs(a: Float64Array, b: Float64Array): readonly [Float64Array, Float64Array] {
  const rows: number[] = [];
  for (let i = 0; i < a.length; i++) if (Number.isFinite(a[i]) && Number.isFinite(b[i])) rows.push(i);
  const of = (values: Float64Array) => Float64Array.from(rows, (row) => values[row] as number);
  return [of(a), of(b)];
}

/** Pearson's coefficient; NaN where one of them does not vary. */
function coefficient(a: Float64Array, b: Float64Array): number {
  // A mean is rounded: of values that are all the same it may lie beside them.
  if (!varies(a) || !varies(b)) return NaN;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [together, ofA, ofB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [(a[i] as number) - meanA, (b[i] as number) - meanB];
    together += x * y;
    ofA += x * x;
    ofB += y * y;
  }
  return Math.max(-1, Math.min(1, together / Math.sqrt(ofA) / Math.sqrt(ofB)));
}

function varies(values: Float64Array): boolean {
  return values.some((value) => value !== values[0]);
}

function mean(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
}

/** From 1 on; equal values share the middle of their ranks. */
export function ranksOf(values: Float64Array): Float64Array {
  const order = Uint32Array.from(values, (_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number));
  const ranks = new Float64Array(values.length);
  for (let from = 0; from < order.length;) {
    let end = from + 1;
    while (end < order.length && values[order[end] as number] === values[order[from] as number]) end++;
    for (let i = from; i < end; i++) ranks[order[i] as number] = (from + 1 + end) / 2;
    from = end;
  }
  return ranks;
}
