import type { AxisRange } from './scale.js';

/** Where points lie on the screen, in pixels of the canvas. */
export interface ScreenPoints {
  readonly x: Float32Array;
  readonly y: Float32Array;
}

/** Puts the values of an axis on the screen: the range's `min` at `from`, its `max` at `to`. NaN where there is no place. */
export function place(
  values: Float64Array,
  { min, max }: AxisRange,
  isLog: boolean,
  from: number,
  to: number,
  into: Float32Array,
): void {
  const low = isLog ? Math.log(min) : min;
  const scale = (to - from) / ((isLog ? Math.log(max) : max) - low);
  for (let row = 0; row < into.length; row++) {
    const value = values[row] as number;
    into[row] = from + ((isLog ? Math.log(value) : value) - low) * scale;
  }
}

/** The row whose point is nearest, at most `reach` away; of those that are equally near the one that is drawn above. */
export function nearestRow(
  { x, y }: ScreenPoints,
  style: Uint8Array,
  atX: number,
  atY: number,
  reach: number,
): number | undefined {
  let nearest: number | undefined;
  let least = reach * reach;
  for (let row = 0; row < x.length; row++) {
    const dx = (x[row] as number) - atX;
    const dy = (y[row] as number) - atY;
    const distance = dx * dx + dy * dy;
    if (!(distance <= least) || style[row] === 255) continue;
    if (distance === least && nearest !== undefined && (style[row] as number) < (style[nearest] as number)) continue;
    nearest = row;
    least = distance;
  }
  return nearest;
}

/** How many points lie beyond an area, those that are hidden or have no place left out. */
export function countOutside({ x, y }: ScreenPoints, style: Uint8Array, width: number, height: number): number {
  let count = 0;
  for (let row = 0; row < x.length; row++) {
    const [px, py] = [x[row] as number, y[row] as number];
    if ((px < 0 || py < 0 || px > width || py > height) && px === px && py === py && style[row] !== 255) count++;
  }
  return count;
}

/** A rectangle on the screen. */
export interface Rectangle {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** The rows whose points lie in a rectangle, as a mask; those that are hidden do not. */
export function rowsWithin(
  { x, y }: ScreenPoints,
  style: Uint8Array,
  { left, right, top, bottom }: Rectangle,
): Uint8Array {
  const mask = new Uint8Array(x.length);
  for (let row = 0; row < mask.length; row++) {
    const [px, py] = [x[row] as number, y[row] as number];
    if (px >= left && px <= right && py >= top && py <= bottom && style[row] !== 255) mask[row] = 1;
  }
  return mask;
}
