const [WIDTH, HEIGHT] = [100, 24];

/** A small line of values over time, the newest at the right, from 0 up. */
export function Sparkline({
  values,
  capacity = 60,
  top,
  label,
}: {
  readonly values: readonly number[];
  /** As many values as the width holds: the line grows from the right. */
  readonly capacity?: number;
  /** The value at the upper edge; the largest one where it is left out. */
  readonly top?: number;
  readonly label: string;
}) {
  const shown = values.slice(-capacity);
  const highest = top ?? Math.max(...shown, 0);
  const x = (i: number) => WIDTH - ((shown.length - 1 - i) * WIDTH) / (capacity - 1);
  const y = (value: number) => HEIGHT - 1.5 - (highest > 0 ? Math.min(1, value / highest) : 0) * (HEIGHT - 3);
  const points = shown.map((value, i) => `${x(i).toFixed(2)} ${y(value).toFixed(2)}`).join('L');
  return (
    <svg class="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {shown.length > 1 && (
        <>
          <path class="area" d={`M${x(0).toFixed(2)} ${HEIGHT}L${points}L${WIDTH} ${HEIGHT}Z`} />
          <path class="line" d={`M${points}`} />
        </>
      )}
    </svg>
  );
}
