import uPlot from 'uplot';
import { isFarBeyond, rangeNearFront } from '../../../server/rows/front/front-range.js';
import { formatNumber } from '../parts/format.js';
import { colours, packed, withAlpha } from './colours.js';
import { pointStyles, styleOfRows, type Mark } from './marks.js';
import { canvasFont, textPixels } from './painter.js';
import { paintPoints, pixelsOf, type Pixels } from './points.js';
import { extentOf, panned, rangeAround, zoomed, type AxisRange } from './scale.js';
import { countOutside, nearestRow, place, rowsWithin, type Rectangle } from './screen-points.js';

/** One of the two axes. */
export interface ScatterAxis {
  readonly title: string;
  readonly values: Float64Array;
  /** What the whole numbers of a categorical axis stand for. */
  readonly labels: readonly string[] | undefined;
  readonly isLog: boolean;
  /** Of an objective that is maximized. */
  readonly isLargerBetter: boolean;
  /** Values that a dashed line goes through, such as the ideal. */
  readonly guides: readonly number[];
}

/** What a scatter shows. */
export interface ScatterContent {
  readonly x: ScatterAxis;
  readonly y: ScatterAxis;
  readonly rowCount: number;
  /** Each row's place in `marks`. */
  readonly classes: Uint8Array;
  /** Whether they are of RowClass, which knows a front. */
  readonly hasFront: boolean;
  /** Rows of each class. */
  readonly counts: readonly number[];
  readonly mask: Uint8Array | undefined;
  readonly marks: readonly Mark[];
  /** Marks whose rows are not shown. */
  readonly hidden: ReadonlySet<number>;
}

/** What of the plane is shown. */
export interface ScatterView {
  readonly x: AxisRange;
  readonly y: AxisRange;
}

/** What could be shown: the surroundings of the front, where there is one, and every row. */
interface Extents {
  readonly near: ScatterView | undefined;
  readonly all: { readonly x: AxisRange | undefined; readonly y: AxisRange | undefined };
}

/** How much is shown, as the tools say it: the surroundings of the front, every row, or what was zoomed to. */
export type Extent = 'front' | 'all' | 'own';

/** How far from a point the pointer still means it, in CSS pixels. */
const HOVER_REACH = 14;

/** A scatter of up to 200,000 points: uPlot's axes, with an image of the points below them. */
export class ScatterPlot implements Disposable {
  private readonly plot: uPlot;
  private readonly observer: ResizeObserver;
  private content: ScatterContent;
  private view: ScatterView;
  private extent: Extent;
  /** Whether someone has said what is to be shown; until then rows that come may change it. */
  private isChosen = false;
  private pixels: Pixels | undefined;
  private screen = { x: new Float32Array(0), y: new Float32Array(0) };
  private style = new Uint8Array(0);
  private frame = 0;

  constructor(
    private readonly host: HTMLElement,
    content: ScatterContent,
    /** Told whenever what is shown changes; `outside`: rows that lie beyond. */
    private readonly onView: (extent: Extent, outside: number) => void,
  ) {
    this.content = content;
    const extents = this.extents();
    this.extent = this.firstExtent(extents);
    this.view = this.fitted(extents);
    this.plot = new uPlot(
      this.options(),
      [
        [0, 1],
        [0, 1],
      ] as uPlot.AlignedData,
      host,
    );
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(host);
  }

  /** The area within the axes: pointers are listened for there. */
  get area(): HTMLElement {
    return this.plot.over;
  }

  /**
   * Shows something else, or the same with more rows or another selection: the view stays while it fits. Whether an axis is
   * logarithmic, or categorical, is said once, when the plot is made.
   */
  show(content: ScatterContent): void {
    const { content: before } = this;
    this.content = content;
    if (before.x.title !== content.x.title || before.y.title !== content.y.title) {
      const extents = this.extents();
      this.isChosen = false;
      this.extent = this.firstExtent(extents);
      this.setView(this.fitted(extents));
      return;
    }
    const isNewData = before.classes !== content.classes || before.x.values !== content.x.values;
    if (isNewData && !this.isChosen) {
      const extents = this.extents();
      const extent = this.firstExtent(extents);
      const before = extent === this.extent ? this.view : undefined;
      this.extent = extent;
      this.setView(this.fitted(extents, before));
    } else if (isNewData && this.extent !== 'own') this.setView(this.fitted(this.extents(), this.view));
    else this.invalidate();
  }

  /** Draws at the next frame. */
  invalidate(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.plot.redraw(false, true);
    });
  }

  /** Shows the surroundings of the front, or everything. */
  fit(extent: 'front' | 'all'): void {
    this.isChosen = true;
    this.extent = extent;
    this.setView(this.fitted(this.extents()));
  }

  /** Less than 1 shows less; around a place in the area, or its middle. */
  zoom(factor: number, at?: { readonly x: number; readonly y: number }): void {
    const { clientWidth, clientHeight } = this.area;
    const { x, y } = at ?? { x: clientWidth / 2, y: clientHeight / 2 };
    this.extent = 'own';
    this.isChosen = true;
    this.setView({
      x: zoomed(this.view.x, factor, x / clientWidth, this.content.x.isLog),
      y: zoomed(this.view.y, factor, 1 - y / clientHeight, this.content.y.isLog),
    });
  }

  /** Moves what is shown, by parts of the area: to the right and up. */
  pan(right: number, up: number, from = this.view): void {
    const { x, y } = this.content;
    this.extent = 'own';
    this.isChosen = true;
    this.setView({ x: panned(from.x, right, x.isLog), y: panned(from.y, up, y.isLog) });
  }

  /** What is shown now, to pan from. */
  get shown(): ScatterView {
    return this.view;
  }

  /** The row at a place in the area. */
  rowAt({ x, y }: { readonly x: number; readonly y: number }): number | undefined {
    const ratio = uPlot.pxRatio;
    return nearestRow(this.screen, this.style, x * ratio, y * ratio, HOVER_REACH * ratio);
  }

  /** Where a row's point lies in the area; undefined where it is not seen. */
  placeOf(row: number): { x: number; y: number } | undefined {
    const x = (this.screen.x[row] ?? NaN) / uPlot.pxRatio;
    const y = (this.screen.y[row] ?? NaN) / uPlot.pxRatio;
    const { clientWidth, clientHeight } = this.area;
    return x >= 0 && y >= 0 && x <= clientWidth && y <= clientHeight ? { x, y } : undefined;
  }

  /** The rows in a rectangle of the area. */
  rowsIn({ left, right, top, bottom }: Rectangle): Uint8Array {
    const ratio = uPlot.pxRatio;
    const scaled = { left: left * ratio, right: right * ratio, top: top * ratio, bottom: bottom * ratio };
    return rowsWithin(this.screen, this.style, scaled);
  }

  /** The front's surroundings where the rest lies far from it. */
  private firstExtent({ near, all }: Extents): 'front' | 'all' {
    if (near === undefined) return 'all';
    const isFar = (side: 'x' | 'y') => isFarBeyond(near[side], all[side], this.content[side].isLog);
    return isFar('x') || isFar('y') ? 'front' : 'all';
  }

  private fitted({ near, all }: Extents, before?: ScatterView): ScatterView {
    const wanted = (this.extent === 'front' ? near : undefined) ?? all;
    const { x, y } = this.content;
    return {
      x: x.labels === undefined ? rangeAround(wanted.x, x.isLog, before?.x) : categories(x.labels),
      y: y.labels === undefined ? rangeAround(wanted.y, y.isLog, before?.y) : categories(y.labels),
    };
  }

  /** Goes over all rows. */
  private extents(): Extents {
    const { classes, hasFront, x, y } = this.content;
    const extent = ({ values, isLog, guides }: ScatterAxis) => withGuides(extentOf(values, isLog), guides, isLog);
    const all = { x: extent(x), y: extent(y) };
    if (!hasFront) return { near: undefined, all };
    const [nearX, nearY] = [rangeNearFront(x, classes, all.x), rangeNearFront(y, classes, all.y)];
    return { near: nearX && nearY && { x: nearX, y: nearY }, all };
  }

  private setView(view: ScatterView): void {
    this.view = view;
    (['x', 'y'] as const).forEach((side, i) => {
      const axis = this.plot.axes[i];
      if (axis) axis.label = this.content[side].title;
    });
    this.plot.batch(() => {
      this.plot.setScale('x', view.x);
      this.plot.setScale('y', view.y);
    });
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width > 0 && height > 0) this.plot.setSize({ width, height });
  }

  private options(): uPlot.Options {
    const { clientWidth, clientHeight } = this.host;
    return {
      width: Math.max(clientWidth, 50),
      height: Math.max(clientHeight, 50),
      legend: { show: false },
      cursor: { show: false },
      padding: [textPixels() * 0.7, textPixels() * 1.2, 0, 0],
      // The grid above the points, which are an image without holes.
      drawOrder: ['series', 'axes'] as unknown as uPlot.DrawOrderKey[],
      scales: {
        x: { time: false, range: () => [this.view.x.min, this.view.x.max], distr: this.content.x.isLog ? 3 : 1 },
        y: { range: () => [this.view.y.min, this.view.y.max], distr: this.content.y.isLog ? 3 : 1 },
      },
      axes: [this.axis('x'), this.axis('y')],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { drawClear: [() => this.drawPoints()], draw: [() => this.drawGuides()] },
    };
  }

  private axis(side: 'x' | 'y'): uPlot.Axis {
    const text = textPixels();
    const axis = () => this.content[side];
    return {
      scale: side,
      stroke: () => colours.peek().muted,
      label: this.content[side].title,
      labelSize: text * 1.7,
      labelFont: canvasFont(text, 550),
      font: canvasFont(text * 0.95),
      gap: text * 0.35,
      size: (_plot, values) => (side === 'x' ? text * 1.9 : this.labelWidth(values)),
      ticks: { show: false },
      grid: { stroke: () => withAlpha(colours.peek()['line-strong'], 0.22), width: 1 },
      splits: this.content[side].labels === undefined ? undefined : () => (axis().labels ?? []).map((_, i) => i),
      values: (_plot, splits) =>
        splits.map((value) => (value === null ? '' : (axis().labels?.[value] ?? formatNumber(value, 6)))),
    } as uPlot.Axis;
  }

  private labelWidth(values: readonly string[] | null): number {
    const longest = Math.max(0, ...(values ?? []).map((value) => value.length));
    return textPixels() * (Math.min(longest, 18) * 0.56 + 0.9);
  }

  private drawPoints(): void {
    const { left, top, width, height } = this.plot.bbox;
    const { content, view } = this;
    const count = content.rowCount;
    if (this.style.length !== count) {
      this.style = new Uint8Array(count);
      this.screen = { x: new Float32Array(count), y: new Float32Array(count) };
    }
    place(content.x.values, view.x, content.x.isLog, 0, width, this.screen.x);
    place(content.y.values, view.y, content.y.isLog, height, 0, this.screen.y);
    styleOfRows(content.classes, content.mask, content.hidden, this.style);
    this.pixels = pixelsOf(width, height, this.pixels);
    const points = { count, x: this.screen.x, y: this.screen.y, style: this.style };
    const styles = pointStyles(content.marks, content.counts, (uPlot.pxRatio * textPixels()) / 12);
    paintPoints(this.pixels, packed(colours.peek().surface), points, styles);
    this.plot.ctx.putImageData(this.pixels.image, left, top);
    this.onView(this.extent, countOutside(this.screen, this.style, width, height));
  }

  private drawGuides(): void {
    const { ctx, bbox } = this.plot;
    ctx.save();
    ctx.strokeStyle = withAlpha(colours.peek().accent, 0.65);
    ctx.lineWidth = uPlot.pxRatio;
    ctx.setLineDash([4 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
    ctx.beginPath();
    for (const [side, axis] of [
      ['x', this.content.x],
      ['y', this.content.y],
    ] as const)
      for (const guide of axis.guides) {
        if (guide < this.view[side].min || guide > this.view[side].max) continue;
        const at = Math.round(this.plot.valToPos(guide, side, true)) + 0.5;
        ctx.moveTo(side === 'x' ? at : bbox.left, side === 'x' ? bbox.top : at);
        ctx.lineTo(side === 'x' ? at : bbox.left + bbox.width, side === 'x' ? bbox.top + bbox.height : at);
      }
    ctx.stroke();
    ctx.restore();
  }

  [Symbol.dispose](): void {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.plot.destroy();
  }
}

function categories(labels: readonly string[]): AxisRange {
  return { min: -0.5, max: Math.max(labels.length, 1) - 0.5 };
}

function withGuides(extent: AxisRange | undefined, guides: readonly number[], isLog: boolean): AxisRange | undefined {
  const shown = guides.filter((guide) => Number.isFinite(guide) && (!isLog || guide > 0));
  return extent && { min: Math.min(extent.min, ...shown), max: Math.max(extent.max, ...shown) };
}
