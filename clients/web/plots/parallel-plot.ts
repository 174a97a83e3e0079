import { RowClass } from '../../../server/rows/front/row-classes.js';
import { formatNumber } from '../parts/format.js';
import type { PlotColumn } from '../rows/plot-columns.js';
import { colours, packed, withAlpha } from './colours.js';
import { binsOf, BINS, colourDensity, countPairs, density, drawPairs, mostOf, type Density } from './density.js';
import { canvasFont, Painter, textPixels, type CanvasSize } from './painter.js';
import type { PlotRows } from './plot-rows.js';
import { extentOf, type AxisRange } from './scale.js';

/** An axis as it is shown. */
export interface ParallelAxis {
  readonly column: PlotColumn;
  /** Its smallest value is at the top. */
  readonly isTurned: boolean;
  readonly brush: AxisRange | undefined;
}

export interface ParallelContent {
  readonly rows: PlotRows;
  readonly axes: readonly ParallelAxis[];
  readonly mask: Uint8Array | undefined;
}

/** Up to so many rows are drawn one by one, more as a density. */
const LINES_MAX = 1500;
/** Columns of the picture between two axes; it is stretched to the width that is there. */
const GAP_COLUMNS = 48;
const BRUSH_WIDTH = 14;

interface KnownAxis {
  readonly values: Float64Array;
  /** Of the values; undefined where there is none. */
  readonly extent: AxisRange | undefined;
  readonly range: AxisRange;
  /** With room for more. */
  readonly bins: Uint8Array<ArrayBuffer>;
  /** Another one when all bins are others: rows that were appended alone leave it. */
  readonly version: number;
}

/** The picture of all rows between two axes. */
interface KnownGap {
  /** What it is a picture of, but for the number of its rows. */
  readonly name: string;
  readonly rowCount: number;
  readonly picture: Density;
}

/** Parallel coordinates: a line a row. All rows lie behind those that are selected; where none is, the front is in their place. */
export class ParallelPlot implements Disposable {
  private readonly painter: Painter;
  private readonly known = new Map<number, KnownAxis>();
  private content: ParallelContent | undefined;
  private background: { readonly name: string; readonly canvas: HTMLCanvasElement } | undefined;
  private readonly counts = new Uint32Array(BINS * BINS);
  private readonly scratch = document.createElement('canvas');
  /** Of all rows: those that come are added. */
  private gaps: KnownGap[] = [];
  /** Of those that are selected, or of the front. */
  private parts: Density[] = [];
  private versions = 0;

  constructor(canvas: HTMLCanvasElement) {
    this.painter = new Painter(canvas, (context, size) => this.paint(context, size));
  }

  show(content: ParallelContent): void {
    this.content = content;
    this.painter.invalidate();
  }

  /** Where an axis stands, in CSS pixels from the left. */
  axisX(place: number): number {
    return axisX(place, this.content?.axes.length ?? 1, this.painter.canvas.clientWidth);
  }

  /** The axis nearest to a place, if it is near; undefined else. */
  axisAt(x: number, reach: number): number | undefined {
    const axes = this.content?.axes ?? [];
    const place = axes.findIndex((_, i) => Math.abs(this.axisX(i) - x) <= reach);
    return place < 0 ? undefined : place;
  }

  /** The value of an axis at a height. */
  valueAt(place: number, y: number): number {
    const axis = this.content?.axes[place];
    if (axis === undefined) return NaN;
    const { min, max } = this.rangeOf(axis.column);
    const { top, height } = axisHeights(this.painter.canvas.clientHeight);
    const share = Math.max(0, Math.min(1, (y - top) / height));
    return min + (max - min) * (axis.isTurned ? share : 1 - share);
  }

  /** Smallest and largest value of an axis. */
  rangeOf(column: PlotColumn): AxisRange {
    return this.axis(column).range;
  }

  private axis({ index, values }: PlotColumn): KnownAxis {
    const known = this.known.get(index);
    if (known?.values === values) return known;
    const axis = grownAxis(known, values) ?? this.newAxis(values);
    this.known.set(index, axis);
    return axis;
  }

  private newAxis(values: Float64Array): KnownAxis {
    const extent = extentOf(values);
    const { min, max } = extent ?? { min: 0, max: 1 };
    // Of a value that is always the same the axis has room around it.
    const range = max > min ? { min, max } : { min: min - 0.5, max: max + 0.5 };
    const bins = new Uint8Array(values.length * 2);
    binsOf(values, range.min, range.max, bins, 0);
    return { values, extent, range, bins, version: ++this.versions };
  }

  private paint(context: CanvasRenderingContext2D, size: CanvasSize): void {
    const { content } = this;
    if (content === undefined || content.axes.length === 0) return;
    const theme = colours.peek();
    const { classes, counts } = content.rows;
    context.drawImage(this.backgroundOf(content, size), 0, 0, size.width, size.height);
    const front = () => classes.map((one) => (one === RowClass.FRONT ? 1 : 0));
    const mask = content.mask ?? ((counts[RowClass.FRONT] ?? 0) > 0 ? front() : undefined);
    if (mask !== undefined) {
      const colour = content.mask === undefined ? theme.front : theme.selected;
      this.paintRows(context, size, content, mask, colour, 0.95);
    }
    content.axes.forEach((axis, place) => this.paintAxis(context, size, axis, place, content.axes.length));
  }

  /** All rows: drawn anew only when they, the axes, the size or the scheme are others; rows that are new are added to what is known of a gap. */
  private backgroundOf(content: ParallelContent, size: CanvasSize): HTMLCanvasElement {
    const theme = colours.peek();
    const { width, height, ratio } = size;
    const axes = content.axes.map((axis) => this.axisName(axis));
    const hasMask = content.mask !== undefined;
    const name = [content.rows.rowCount, width, height, ratio, theme.dominated, hasMask, ...axes].join();
    if (this.background?.name === name) return this.background.canvas;
    const canvas = this.background?.canvas ?? document.createElement('canvas');
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext('2d');
    if (context !== null) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.paintRows(context, size, content, undefined, theme.dominated, hasMask ? 0.35 : 0.6);
    }
    this.background = { name, canvas };
    return canvas;
  }

  private paintRows(
    context: CanvasRenderingContext2D,
    size: CanvasSize,
    content: ParallelContent,
    mask: Uint8Array | undefined,
    colour: string,
    alphaMax: number,
  ): void {
    const count = mask === undefined ? content.rows.rowCount : countOf(mask);
    if (count <= LINES_MAX) this.paintLines(context, size, content, mask, colour, count, alphaMax);
    else this.paintDensity(context, size, content, mask, colour, alphaMax);
  }

  private paintLines(
    context: CanvasRenderingContext2D,
    { width, height }: CanvasSize,
    { axes, rows }: ParallelContent,
    mask: Uint8Array | undefined,
    colour: string,
    count: number,
    alphaMax: number,
  ): void {
    const { top, height: length } = axisHeights(height);
    const places = axes.map(({ column, isTurned }, i) => {
      const { min, max } = this.rangeOf(column);
      const scale = length / (max - min);
      const y = (value: number) => (isTurned ? top + (value - min) * scale : top + (max - value) * scale);
      return { x: axisX(i, axes.length, width), values: column.values, y };
    });
    context.strokeStyle = withAlpha(colour, Math.max(0.1, Math.min(alphaMax, (60 / Math.max(count, 1)) * alphaMax)));
    context.lineWidth = count < 100 ? 1.4 : 1;
    context.beginPath();
    for (let row = 0; row < rows.rowCount; row++) {
      if (mask !== undefined && mask[row] === 0) continue;
      let isDown = false;
      for (const { x, values, y } of places) {
        const value = values[row] as number;
        if (!Number.isFinite(value)) isDown = false;
        else if (isDown) context.lineTo(x, y(value));
        else {
          context.moveTo(x, y(value));
          isDown = true;
        }
      }
      // A path of all rows is slow to stroke, and where its lines cross no crowd is seen.
      context.stroke();
      context.beginPath();
    }
  }

  private paintDensity(
    context: CanvasRenderingContext2D,
    { width, height, ratio }: CanvasSize,
    { axes }: ParallelContent,
    mask: Uint8Array | undefined,
    colour: string,
    alphaMax: number,
  ): void {
    const { top, height: length } = axisHeights(height);
    const pixels = Math.round(length * ratio);
    const gaps = axes.length - 1;
    if (gaps < 1) return;
    const pictures = mask === undefined ? this.allRows(axes, pixels) : this.someRows(axes, pixels, mask);
    const most = Math.max(...pictures.map(mostOf));
    const image = new ImageData(GAP_COLUMNS * gaps, pixels);
    const words = new Uint32Array(image.data.buffer);
    pictures.forEach((picture, gap) =>
      colourDensity(picture, packed(colour), alphaMax, most, words, image.width, gap * GAP_COLUMNS),
    );
    this.scratch.width = image.width;
    this.scratch.height = image.height;
    this.scratch.getContext('2d')?.putImageData(image, 0, 0);
    for (let gap = 0; gap < gaps; gap++) {
      const [left, right] = [axisX(gap, axes.length, width), axisX(gap + 1, axes.length, width)];
      context.drawImage(this.scratch, gap * GAP_COLUMNS, 0, GAP_COLUMNS, pixels, left, top, right - left, length);
    }
  }

  private allRows(axes: readonly ParallelAxis[], height: number): Density[] {
    this.gaps = pairsOf(axes).map(([from, to], gap) => {
      const name = [height, this.axisName(from), this.axisName(to)].join();
      const rowCount = Math.min(from.column.values.length, to.column.values.length);
      const before = this.gaps[gap];
      const isSame = before?.name === name && before.rowCount <= rowCount;
      const picture = isSame ? before.picture : density(GAP_COLUMNS, height);
      this.addRows(from, to, undefined, isSame ? before.rowCount : 0, picture);
      return { name, rowCount, picture };
    });
    return this.gaps.map(({ picture }) => picture);
  }

  private someRows(axes: readonly ParallelAxis[], height: number, mask: Uint8Array): Density[] {
    this.parts = pairsOf(axes).map(([from, to], gap) => {
      const before = this.parts[gap];
      const picture = before?.height === height ? before : density(GAP_COLUMNS, height);
      picture.steps.fill(0);
      this.addRows(from, to, mask, 0, picture);
      return picture;
    });
    return this.parts;
  }

  private addRows(
    from: ParallelAxis,
    to: ParallelAxis,
    mask: Uint8Array | undefined,
    fromRow: number,
    picture: Density,
  ): void {
    const [a, b] = [this.axis(from.column), this.axis(to.column)];
    const rowCount = a.values.length;
    if (rowCount === fromRow && fromRow > 0) return;
    countPairs(a.bins.subarray(0, rowCount), b.bins.subarray(0, rowCount), mask, fromRow, this.counts);
    drawPairs(this.counts, { from: from.isTurned, to: to.isTurned }, picture);
  }

  /** Names an axis as it is drawn. */
  private axisName({ column, isTurned }: ParallelAxis): string {
    return `${column.index} ${this.axis(column).version} ${isTurned}`;
  }

  private paintAxis(
    context: CanvasRenderingContext2D,
    size: CanvasSize,
    { column, isTurned, brush }: ParallelAxis,
    place: number,
    count: number,
  ): void {
    const theme = colours.peek();
    const { min, max } = this.rangeOf(column);
    const { top, height } = axisHeights(size.height);
    const x = Math.round(axisX(place, count, size.width)) + 0.5;
    const y = (value: number) => top + height * (isTurned ? (value - min) / (max - min) : (max - value) / (max - min));
    context.strokeStyle = theme['line-strong'];
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + height);
    context.stroke();
    if (brush !== undefined) {
      const [from, to] = [Math.min(y(brush.min), y(brush.max)), Math.max(y(brush.min), y(brush.max))];
      context.fillStyle = withAlpha(theme.selected, 0.25);
      context.strokeStyle = theme.selected;
      context.fillRect(x - BRUSH_WIDTH / 2, from, BRUSH_WIDTH, Math.max(2, to - from));
      context.strokeRect(x - BRUSH_WIDTH / 2, from, BRUSH_WIDTH, Math.max(2, to - from));
    }
    this.paintLabels(context, size, column, isTurned ? [min, max] : [max, min], x);
  }

  private paintLabels(
    context: CanvasRenderingContext2D,
    size: CanvasSize,
    { labels, values }: PlotColumn,
    [upper, lower]: readonly [number, number],
    x: number,
  ): void {
    const theme = colours.peek();
    const text = textPixels();
    const { top, height } = axisHeights(size.height);
    context.font = canvasFont(text * 0.92);
    context.textAlign = 'center';
    context.fillStyle = theme.muted;
    if (values.length === 0) return;
    context.fillText(labels?.[upper] ?? formatNumber(upper, 4), x, top - text * 0.5);
    context.fillText(labels?.[lower] ?? formatNumber(lower, 4), x, top + height + text * 1.25);
  }

  [Symbol.dispose](): void {
    this.painter[Symbol.dispose]();
  }
}

/** An axis whose column has grown between its ends; undefined where it is another column, or its ends are others. */
function grownAxis(known: KnownAxis | undefined, values: Float64Array): KnownAxis | undefined {
  if (known === undefined) return undefined;
  const { length } = known.values;
  // A column grows in place, until it is moved to where there is more room.
  const isSame = known.values.buffer === values.buffer && length > 0 && values.length >= length;
  if (!isSame || values.length > known.bins.length) return undefined;
  const { extent, range, bins } = known;
  const added = extentOf(values.subarray(length));
  const isWithin = added === undefined || (extent && added.min >= extent.min && added.max <= extent.max);
  if (isWithin !== true) return undefined;
  binsOf(values, range.min, range.max, bins, length);
  return { ...known, values };
}

function pairsOf(axes: readonly ParallelAxis[]): (readonly [from: ParallelAxis, to: ParallelAxis])[] {
  return axes.slice(1).map((to, i) => [axes[i] as ParallelAxis, to]);
}

/** Room at the sides for half of an axis' name, and above and below for the ends of the axes. */
function axisX(place: number, count: number, width: number): number {
  const margin = Math.min(textPixels() * 4, width / 6);
  return count < 2 ? width / 2 : margin + (place * (width - 2 * margin)) / (count - 1);
}

function axisHeights(height: number): { top: number; height: number } {
  const text = textPixels();
  return { top: text * 1.9, height: Math.max(10, height - text * 3.8) };
}

function countOf(mask: Uint8Array): number {
  let count = 0;
  for (let row = 0; row < mask.length; row++) count += mask[row] as number;
  return count;
}
