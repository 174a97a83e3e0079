import { paint } from '../colours.js';
import { cellsOf, fit } from '../terminal/fit.js';
import { axisOver, type Axis } from './ticks.js';

/** What points are, from what is drawn over to what stays visible. */
export const KINDS = ['infeasible', 'dominated', 'line', 'front'] as const;
export type Kind = (typeof KINDS)[number];

/** Points of one kind. */
export interface Series {
  readonly kind: Kind;
  readonly xs: ArrayLike<number>;
  readonly ys: ArrayLike<number>;
}

/** How large a chart is, and by which characters it is drawn. */
export interface ChartSize {
  readonly columns: number;
  readonly lines: number;
  readonly isAscii: boolean;
}

/** `undefined`: Braille dots, eight to a character. */
const MARKS: Record<Kind, string | undefined> = { infeasible: '×', dominated: undefined, line: undefined, front: '●' };
const ASCII_MARKS: Record<Kind, string> = { infeasible: 'x', dominated: '.', line: '*', front: 'O' };
const STYLES = { infeasible: 'gray', dominated: 'blue', line: 'cyan', front: 'green' } as const;
const DOTS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

/** The mark of a kind, as a legend shows it. */
export function markOf(kind: Kind, isAscii: boolean): string {
  return paint(STYLES[kind], isAscii ? ASCII_MARKS[kind] : (MARKS[kind] ?? '⠶'));
}

/** A chart as lines: the title of y, the points with both axes, the title of x. No line is wider than the size. */
export function chart(series: readonly Series[], titles: { x: string; y: string }, size: ChartSize): string[] {
  const height = Math.max(size.lines - 4, 3);
  const y = axisOver(valuesOf(series, 'ys'), Math.max(height >> 1, 3));
  const gutter = Math.max(...y.ticks.map(({ label }) => label.length), 1);
  const width = Math.max(size.columns - gutter - 2, 8);
  const x = axisOver(valuesOf(series, 'xs'), Math.max(Math.floor(width / 10), 3));
  const grid = new Grid(width, height, x, y, size.isAscii);
  for (const kind of KINDS) for (const one of series) if (one.kind === kind) grid.draw(one);
  const [tick, bar, corner] = size.isAscii ? ['+', '|', '+'] : ['┤', '│', '└'];
  const labels = new Map(y.ticks.map(({ value, label }) => [grid.lineOf(value), label]));
  const rows = grid.lines().map((line, i) => {
    const label = labels.get(i);
    return `${(label ?? '').padStart(gutter)} ${label === undefined ? bar : tick}${line}`;
  });
  const beside = ' '.repeat(gutter + 1);
  return [
    fit(titles.y, size.columns).trimEnd(),
    ...rows,
    `${beside}${corner}${xLine(x, grid, width, size.isAscii)}`,
    `${beside} ${xLabels(x, grid, width)}`.trimEnd(),
    `${beside} ${' '.repeat(Math.max(Math.floor((width - cellsOf(titles.x)) / 2), 0))}${fit(titles.x, width).trimEnd()}`,
  ];
}

function* valuesOf(series: readonly Series[], which: 'xs' | 'ys'): Generator<number, void> {
  for (const { [which]: values } of series) for (let i = 0; i < values.length; i++) yield values[i] as number;
}

function xLine(x: Axis, grid: Grid, width: number, isAscii: boolean): string {
  const [line, tick] = isAscii ? ['-', '+'] : ['─', '┬'];
  const at = new Set(x.ticks.map(({ value }) => grid.columnOf(value)));
  return Array.from({ length: width }, (_, i) => (at.has(i) ? tick : line)).join('');
}

/** Labels below their marks; one that would touch the one before it is left out. */
function xLabels(x: Axis, grid: Grid, width: number): string {
  let text = '';
  for (const { value, label } of x.ticks) {
    const start = Math.min(Math.max(grid.columnOf(value) - (label.length >> 1), 0), Math.max(width - label.length, 0));
    if (text === '' || start > text.length) text = text.padEnd(start) + label;
  }
  return text;
}

/** Characters of a chart; a cell has the kind that was drawn last, and the dots of all that are drawn by dots. */
class Grid {
  private readonly dots: Uint8Array;
  private readonly kinds: (Kind | undefined)[];

  constructor(
    private readonly width: number,
    private readonly height: number,
    private readonly x: Axis,
    private readonly y: Axis,
    private readonly isAscii: boolean,
  ) {
    this.dots = new Uint8Array(width * height);
    this.kinds = new Array<Kind | undefined>(width * height);
  }

  columnOf(value: number): number {
    return this.across(value, this.width);
  }

  lineOf(value: number): number {
    return this.down(value, this.height);
  }

  draw({ kind, xs, ys }: Series): void {
    for (let i = 0; i < xs.length; i++) {
      const [x, y] = [xs[i] as number, ys[i] as number];
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      const [right, down] = [this.across(x, this.width * 2), this.down(y, this.height * 4)];
      const cell = (down >> 2) * this.width + (right >> 1);
      if (this.kinds[cell] !== kind) this.dots[cell] = 0;
      this.kinds[cell] = kind;
      this.dots[cell] = (this.dots[cell] ?? 0) | (DOTS[down & 3]?.[right & 1] ?? 0);
    }
  }

  lines(): string[] {
    return Array.from({ length: this.height }, (_, line) =>
      Array.from({ length: this.width }, (_, column) => this.cell(line * this.width + column))
        .join('')
        .trimEnd(),
    );
  }

  private cell(at: number): string {
    const kind = this.kinds[at];
    if (kind === undefined) return ' ';
    const mark = this.isAscii ? ASCII_MARKS[kind] : MARKS[kind];
    return paint(STYLES[kind], mark ?? String.fromCharCode(0x2800 + (this.dots[at] ?? 0)));
  }

  private across(value: number, steps: number): number {
    return place(value, this.x, steps);
  }

  private down(value: number, steps: number): number {
    return steps - 1 - place(value, this.y, steps);
  }
}

/** Halved first: the difference of two doubles may be beyond all of them. */
function place(value: number, { min, max }: Axis, steps: number): number {
  const share = (value / 2 - min / 2) / (max / 2 - min / 2);
  return Math.min(Math.max(Math.floor(share * steps), 0), steps - 1);
}
