/** Points as pixels: shapes are stamped into the memory of an image, which a canvas takes in one go. */

/** Told apart without colours too. */
export type Shape = 'dot' | 'cross' | 'square' | 'diamond' | 'triangle' | 'ring';

/** How the points of a class look. */
export interface PointStyle {
  /** As `packed` gives it. */
  readonly colour: number;
  readonly shape: Shape;
  /** In pixels of the image. */
  readonly radius: number;
  /** From 0 to 1: where many lie upon each other they shine through. */
  readonly alpha: number;
}

/** An image that points are painted into. */
export interface Pixels {
  readonly image: ImageData;
  readonly words: Uint32Array;
}

/** Makes one, or takes the one before if it has the size. */
export function pixelsOf(width: number, height: number, before?: Pixels): Pixels {
  if (before?.image.width === width && before.image.height === height) return before;
  const image = new ImageData(width, height);
  return { image, words: new Uint32Array(image.data.buffer) };
}

/** The pixels that a shape covers, as distances from its middle, and how much of each. */
interface Stamp {
  readonly reach: number;
  readonly dx: Int16Array;
  readonly dy: Int16Array;
  /** 0 to 256. */
  readonly coverage: Uint16Array;
}

const SAMPLES = 4;
const stamps = new Map<string, Stamp>();

function stampOf({ shape, radius, alpha }: PointStyle): Stamp {
  const name = `${shape} ${radius} ${alpha}`;
  const known = stamps.get(name);
  if (known !== undefined) return known;
  const reach = Math.ceil(radius + 0.5);
  const [dx, dy, coverage]: [number[], number[], number[]] = [[], [], []];
  for (let y = -reach; y <= reach; y++)
    for (let x = -reach; x <= reach; x++) {
      const share = coveredShare(shape, radius, x, y);
      if (share < 0.06) continue;
      dx.push(x);
      dy.push(y);
      coverage.push(Math.round(share * alpha * 256));
    }
  const stamp = { reach, dx: Int16Array.from(dx), dy: Int16Array.from(dy), coverage: Uint16Array.from(coverage) };
  stamps.set(name, stamp);
  return stamp;
}

function coveredShare(shape: Shape, radius: number, x: number, y: number): number {
  let inside = 0;
  for (let i = 0; i < SAMPLES; i++)
    for (let k = 0; k < SAMPLES; k++) {
      const at = (step: number) => (step + 0.5) / SAMPLES - 0.5;
      if (isInside(shape, (x + at(i)) / radius, (y + at(k)) / radius, 1 / radius)) inside++;
    }
  return inside / SAMPLES ** 2;
}

/** In a shape of radius 1, whose strokes are `stroke` wide. */
function isInside(shape: Shape, x: number, y: number, stroke: number): boolean {
  switch (shape) {
    case 'dot':
      return x * x + y * y <= 1;
    case 'ring': {
      const distance = Math.hypot(x, y);
      return distance <= 1 && distance >= 1 - 1.3 * stroke;
    }
    case 'square':
      return Math.max(Math.abs(x), Math.abs(y)) <= 0.86;
    case 'diamond':
      return Math.abs(x) + Math.abs(y) <= 1.2;
    case 'triangle':
      return y <= 0.75 && y >= -1 && Math.abs(x) <= (y + 1) * 0.6;
    case 'cross':
      return Math.max(Math.abs(x), Math.abs(y)) <= 0.9 && Math.abs(Math.abs(x) - Math.abs(y)) <= 0.75 * stroke;
    default:
      return shape satisfies never;
  }
}

/** Points to be painted: where each lies in the image, and which of the styles it has. */
export interface Points {
  readonly count: number;
  /** In pixels; NaN or beyond the image: not painted. */
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly style: Uint8Array;
  /** Which are painted first; undefined: in their order. */
  readonly order?: Uint32Array | undefined;
}

/** Fills the image with a background and paints points upon it, style by style. */
export function paintPoints(
  { image, words }: Pixels,
  background: number,
  points: Points,
  styles: readonly (PointStyle | undefined)[],
): void {
  words.fill(background);
  const counts = new Uint32Array(256);
  for (let i = 0; i < points.count; i++) {
    const style = points.style[i] as number;
    counts[style] = (counts[style] as number) + 1;
  }
  styles.forEach((style, number) => {
    if (style !== undefined && (counts[number] as number) > 0)
      paintStyle(words, image.width, image.height, points, number, style);
  });
}

function paintStyle(
  words: Uint32Array,
  width: number,
  height: number,
  { count, x, y, style, order }: Points,
  number: number,
  look: PointStyle,
): void {
  const { reach, dx, dy, coverage } = stampOf(look);
  const offsets = Int32Array.from(dx, (step, i) => (dy[i] as number) * width + step);
  const red = look.colour & 0xff00ff;
  const green = look.colour & 0x00ff00;
  const [right, bottom] = [width - reach, height - reach];
  for (let k = 0; k < count; k++) {
    const i = order === undefined ? k : (order[k] as number);
    if (style[i] !== number) continue;
    const [px, py] = [Math.round(x[i] as number), Math.round(y[i] as number)];
    // Of a point at the edge nothing is painted beyond it; NaN fails each comparison.
    if (!(px >= -reach && py >= -reach && px < width + reach && py < height + reach)) continue;
    const isWhole = px >= reach && py >= reach && px < right && py < bottom;
    const middle = py * width + px;
    for (let s = 0; s < offsets.length; s++) {
      if (!isWhole && !isWithin(px + (dx[s] as number), py + (dy[s] as number), width, height)) continue;
      const at = middle + (offsets[s] as number);
      words[at] = blended(words[at] as number, red, green, coverage[s] as number);
    }
  }
}

function isWithin(x: number, y: number, width: number, height: number): boolean {
  return x >= 0 && y >= 0 && x < width && y < height;
}

/** A colour over another one, both opaque; the share is of 256. */
function blended(under: number, redBlue: number, green: number, share: number): number {
  const rest = 256 - share;
  // Shifted without a sign: 0xff × 256 in the upper byte is beyond what an int32 holds.
  const mixedRedBlue = (((under & 0xff00ff) * rest + redBlue * share) >>> 8) & 0xff00ff;
  const mixedGreen = (((under & 0x00ff00) * rest + green * share) >>> 8) & 0x00ff00;
  return (0xff000000 | mixedRedBlue | mixedGreen) >>> 0;
}
