/** A point to plot. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

const DOTS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
];

/** The points that no other is better than in both (less is better), in order of x. */
export function paretoFront(points: readonly Point[]): Point[] {
  let best = Infinity;
  return [...points]
    .sort((a, b) => a.x - b.x || a.y - b.y)
    .filter((point) => {
      const isBetter = point.y < best;
      if (isBetter) best = point.y;
      return isBetter;
    });
}

/** Draws points with Braille dots, 2 × 4 to a character, with their ranges at the axes. */
export function scatterPlot(
  points: readonly Point[],
  labels: { x: string; y: string },
  columns = 64,
  lines = 16,
): string {
  const xs = range(points.map((point) => point.x));
  const ys = range(points.map((point) => point.y));
  const cells = Array.from({ length: lines }, () => new Uint8Array(columns));
  for (const { x, y } of points) {
    const right = Math.min(Math.floor(((x - xs.min) / xs.span) * columns * 2), columns * 2 - 1);
    const down = lines * 4 - 1 - Math.min(Math.floor(((y - ys.min) / ys.span) * lines * 4), lines * 4 - 1);
    const line = cells[down >> 2];
    if (line !== undefined) line[right >> 1] = (line[right >> 1] ?? 0) | (DOTS[down & 3]?.[right & 1] ?? 0);
  }
  const rows = cells.map((line) => ` │${Array.from(line, (dots) => String.fromCharCode(0x2800 + dots)).join('')}`);
  const axis = `${short(xs.min)}${labels.x.padStart(columns / 2)}${short(xs.max).padStart(columns / 2 - short(xs.min).length)}`;
  return [` ${labels.y} (${short(ys.min)} to ${short(ys.max)})`, ...rows, ` └${'─'.repeat(columns)}`, `  ${axis}`].join(
    '\n',
  );
}

function range(values: readonly number[]): { min: number; max: number; span: number } {
  const min = Math.min(...values);
  const max = Math.max(...values);
  return { min, max, span: max - min || 1 };
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
