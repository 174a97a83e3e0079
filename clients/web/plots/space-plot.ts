import { formatNumber } from '../parts/format.js';
import { titleOf, type PlotColumn } from '../rows/plot-columns.js';
import { colours, packed, withAlpha } from './colours.js';
import { pointStyles, styleOfRows, type Mark } from './marks.js';
import { canvasFont, Painter, textPixels, type CanvasSize } from './painter.js';
import { paintPoints, pixelsOf, type Pixels } from './points.js';
import type { PlotRows } from './plot-rows.js';
import { extentOf, type AxisRange } from './scale.js';
import { nearestRow, rowsWithin, type Rectangle } from './screen-points.js';

/** From where it is seen: angles in radians, and how large. */
export interface Turn {
  readonly yaw: number;
  readonly pitch: number;
  readonly zoom: number;
}

/** What is shown in space. */
export interface SpaceContent {
  readonly rows: PlotRows;
  readonly axes: readonly [number, number, number];
  readonly mask: Uint8Array | undefined;
  readonly marks: readonly Mark[];
  readonly hidden: ReadonlySet<number>;
  readonly turn: Turn;
}

const HOVER_REACH = 14;
const DEPTHS = 256;
const EDGES: readonly (readonly [number, number])[] = [
  ...([
    [0, 1],
    [0, 2],
    [0, 4],
    [1, 3],
    [1, 5],
    [2, 3],
  ] as const),
  ...([
    [2, 6],
    [3, 7],
    [4, 5],
    [4, 6],
    [5, 7],
    [6, 7],
  ] as const),
];

/** A scatter in a cube, each axis from its smallest to its largest value, without perspective. */
export class SpacePlot implements Disposable {
  private readonly painter: Painter;
  private content: SpaceContent | undefined;
  private pixels: Pixels | undefined;
  private screen = { x: new Float32Array(0), y: new Float32Array(0) };
  private depth = new Float32Array(0);
  private style = new Uint8Array(0);
  private ratio = 1;

  constructor(canvas: HTMLCanvasElement) {
    this.painter = new Painter(canvas, (context, size) => this.paint(context, size));
  }

  show(content: SpaceContent): void {
    this.content = content;
    this.painter.invalidate();
  }

  rowAt({ x, y }: { readonly x: number; readonly y: number }): number | undefined {
    return nearestRow(this.screen, this.style, x * this.ratio, y * this.ratio, HOVER_REACH * this.ratio);
  }

  rowsIn({ left, right, top, bottom }: Rectangle): Uint8Array {
    const { ratio } = this;
    const scaled = { left: left * ratio, right: right * ratio, top: top * ratio, bottom: bottom * ratio };
    return rowsWithin(this.screen, this.style, scaled);
  }

  private paint(context: CanvasRenderingContext2D, size: CanvasSize): void {
    const { content } = this;
    if (content === undefined) return;
    const columns = content.axes.map((index) => content.rows.columns.find((column) => column.index === index));
    const [x, y, z] = columns;
    if (x === undefined || y === undefined || z === undefined) return;
    this.ratio = size.ratio;
    const view = new View(content.turn, size);
    const ranges = [x, y, z].map(({ values }) => extentOf(values) ?? { min: 0, max: 1 });
    this.place([x, y, z], ranges, view, content.rows.rowCount);
    this.paintRows(context, content, size);
    paintCube(context, view, [x, y, z], ranges);
  }

  private place(columns: readonly PlotColumn[], ranges: readonly AxisRange[], view: View, count: number): void {
    if (this.style.length !== count) {
      this.style = new Uint8Array(count);
      this.depth = new Float32Array(count);
      this.screen = { x: new Float32Array(count), y: new Float32Array(count) };
    }
    // One linear map for each of the three: the screen's x and y, and the depth.
    const scales = ranges.map(({ min, max }) => ({ min, scale: max > min ? 1 / (max - min) : 0 }));
    const [x, y, z] = columns.map(({ values }) => values) as [Float64Array, Float64Array, Float64Array];
    const [a, b, c] = scales as [(typeof scales)[0], (typeof scales)[0], (typeof scales)[0]];
    for (let row = 0; row < count; row++) {
      const px = ((x[row] as number) - a.min) * a.scale - 0.5;
      const py = ((y[row] as number) - b.min) * b.scale - 0.5;
      const pz = ((z[row] as number) - c.min) * c.scale - 0.5;
      this.screen.x[row] = view.x(px, py) * this.ratio;
      this.screen.y[row] = view.y(px, py, pz) * this.ratio;
      this.depth[row] = view.depth(px, py, pz);
    }
  }

  private paintRows(
    context: CanvasRenderingContext2D,
    content: SpaceContent,
    { width, height, ratio }: CanvasSize,
  ): void {
    const { mask, marks, hidden, rows } = content;
    styleOfRows(rows.classes, mask, hidden, this.style);
    this.pixels = pixelsOf(Math.round(width * ratio), Math.round(height * ratio), this.pixels);
    const points = { count: rows.rowCount, ...this.screen, style: this.style, order: fromBehind(this.depth) };
    const styles = pointStyles(marks, rows.counts, (ratio * textPixels()) / 12);
    paintPoints(this.pixels, packed(colours.peek().surface), points, styles);
    context.putImageData(this.pixels.image, 0, 0);
  }

  [Symbol.dispose](): void {
    this.painter[Symbol.dispose]();
  }
}

/** From the cube, −½ to ½ on each axis, to the screen: z is up, and the depth grows towards who looks. */
class View {
  private readonly sines: readonly [number, number, number, number];
  private readonly scale: number;
  private readonly middle: readonly [number, number];

  constructor({ yaw, pitch, zoom }: Turn, { width, height }: CanvasSize) {
    this.sines = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
    this.scale = Math.min(width, height) * 0.52 * zoom;
    this.middle = [width / 2, height / 2];
  }

  x(x: number, y: number): number {
    const [sinYaw, cosYaw] = this.sines;
    return this.middle[0] + (x * cosYaw - y * sinYaw) * this.scale;
  }

  y(x: number, y: number, z: number): number {
    const [sinYaw, cosYaw, sinPitch, cosPitch] = this.sines;
    return this.middle[1] - (z * cosPitch + (x * sinYaw + y * cosYaw) * sinPitch) * this.scale;
  }

  depth(x: number, y: number, z: number): number {
    const [sinYaw, cosYaw, sinPitch, cosPitch] = this.sines;
    return z * sinPitch - (x * sinYaw + y * cosYaw) * cosPitch;
  }
}

/** The rows in order of depth, by counting: those that are farthest away first. */
function fromBehind(depth: Float32Array): Uint32Array {
  const starts = new Uint32Array(DEPTHS + 1);
  // The cube's corners are √3 / 2 from its middle.
  const slot = (value: number) => Math.max(0, Math.min(DEPTHS - 1, Math.floor((value / 1.75 + 0.5) * DEPTHS))) || 0;
  for (let row = 0; row < depth.length; row++) {
    const at = slot(depth[row] as number) + 1;
    starts[at] = (starts[at] as number) + 1;
  }
  for (let i = 1; i <= DEPTHS; i++) starts[i] = (starts[i] as number) + (starts[i - 1] as number);
  const order = new Uint32Array(depth.length);
  for (let row = 0; row < depth.length; row++) {
    const at = slot(depth[row] as number);
    order[starts[at] as number] = row;
    starts[at] = (starts[at] as number) + 1;
  }
  return order;
}

function flat([x, y]: readonly [number, number, number]): readonly [number, number] {
  return [x, y];
}

function corner(i: number): readonly [number, number, number] {
  return [(i & 1) - 0.5, ((i >> 1) & 1) - 0.5, ((i >> 2) & 1) - 0.5];
}

/**
 * A corner of the edge that an axis is written along: on the outline of the cube, where no rows are behind the text. The upright
 * axis at the left, the others below.
 */
function edgeOf(axis: 0 | 1 | 2, view: View): readonly [number, number, number] {
  const edges = [0, 1, 2, 3, 4, 5, 6, 7].filter((i) => ((i >> axis) & 1) === 0).map(corner);
  const middle = (edge: readonly [number, number, number]) =>
    edge.map((value, i) => (i === axis ? 0 : value)) as [number, number, number];
  const place = (edge: readonly [number, number, number]) =>
    axis === 2 ? -view.x(...flat(middle(edge))) : view.y(...middle(edge));
  return edges.reduce((best, edge) => (place(edge) > place(best) ? edge : best));
}

function paintCube(
  context: CanvasRenderingContext2D,
  view: View,
  columns: readonly PlotColumn[],
  ranges: readonly AxisRange[],
): void {
  const theme = colours.peek();
  const text = textPixels();
  context.strokeStyle = withAlpha(theme['line-strong'], 0.45);
  context.lineWidth = 1;
  context.beginPath();
  for (const [from, to] of EDGES) {
    context.moveTo(view.x(...flat(corner(from))), view.y(...corner(from)));
    context.lineTo(view.x(...flat(corner(to))), view.y(...corner(to)));
  }
  context.stroke();
  context.textBaseline = 'middle';
  ([0, 1, 2] as const).forEach((axis) => {
    const column = columns[axis] as PlotColumn;
    const range = ranges[axis] as AxisRange;
    const beside = edgeOf(axis, view);
    const at = (share: number, beyond: number) => {
      const out = beside.map((value, i) => (i === axis ? share - 0.5 : value * (1 + beyond))) as [
        number,
        number,
        number,
      ];
      return [view.x(out[0], out[1]), view.y(...out)] as const;
    };
    const write = (written: string, share: number, beyond: number) => {
      const [x, y] = at(share, beyond);
      context.textAlign = x < view.x(0, 0) ? 'right' : 'left';
      context.fillText(written, x, y);
    };
    context.fillStyle = theme.text;
    context.font = canvasFont(text, 600);
    write(titleOf(column), 0.5, 0.24);
    context.fillStyle = theme.muted;
    context.font = canvasFont(text * 0.95);
    write(labelOf(column, range, range.min), 0.09, 0.12);
    write(labelOf(column, range, range.max), 0.95, 0.12);
  });
}

/** With the digits that tell something of a range. */
function labelOf({ labels }: PlotColumn, { min, max }: AxisRange, value: number): string {
  const step = 10 ** Math.floor(Math.log10(max - min || 1) - 3);
  return labels?.[value] ?? formatNumber(Math.round(value / step) * step, 4);
}
