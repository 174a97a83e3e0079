import { effect } from '@preact/signals';
import { colours } from './colours.js';

/** Size of a canvas. */
export interface CanvasSize {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Pixels of the screen in a CSS pixel. */
  readonly ratio: number;
}

/** Beyond this a 4K screen's canvas costs more than its sharpness shows. */
const RATIO_MAX = 2;

/** Keeps a canvas as large as its place and in the colours of the scheme, and draws it at most once a frame, after it was invalidated. */
export class Painter implements Disposable {
  private frame = 0;
  private readonly observer: ResizeObserver;
  private readonly stopColours: () => void;

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly paint: (context: CanvasRenderingContext2D, size: CanvasSize) => void,
  ) {
    this.observer = new ResizeObserver(() => this.invalidate());
    this.observer.observe(canvas);
    this.stopColours = effect(() => {
      void colours.value;
      this.invalidate();
    });
  }

  /** What is drawn is not true any more. */
  invalidate(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private draw(): void {
    const { canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const ratio = Math.min(devicePixelRatio, RATIO_MAX);
    const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (pixelWidth === 0 || pixelHeight === 0) return;
    if (canvas.width !== pixelWidth) canvas.width = pixelWidth;
    if (canvas.height !== pixelHeight) canvas.height = pixelHeight;
    const context = canvas.getContext('2d');
    if (context === null) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.paint(context, { width, height, ratio });
  }

  [Symbol.dispose](): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.stopColours();
    this.observer.disconnect();
  }
}

/** Size of small text in CSS pixels: it follows the page's. */
export function textPixels(share = 0.857): number {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize) * share;
}

/** The font of a canvas' text. */
export function canvasFont(pixels = textPixels(), weight = 400): string {
  return `${weight} ${pixels}px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Ubuntu, sans-serif`;
}
