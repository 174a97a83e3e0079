/** Where an axis has its marks, and what stands beside them. */
export interface Axis {
  readonly min: number;
  readonly max: number;
  readonly ticks: readonly { readonly value: number; readonly label: string }[];
}

/** An axis over finite values, with about so many marks at round numbers. Of no values it is from 0 to 1. */
export function axisOver(values: Iterable<number>, tickCount: number): Axis {
  let [min, max] = [Infinity, -Infinity];
  for (const value of values)
    if (Number.isFinite(value)) {
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
  if (min > max) [min, max] = [0, 1];
  if (min === max) {
    const around = Math.abs(min) / 10 || 1;
    [min, max] = [min - around, max + around];
  }
  const step = roundStep(max / tickCount - min / tickCount);
  const ticks = [];
  for (let i = Math.ceil(min / step); i * step <= max && ticks.length <= 2 * tickCount + 1; i++)
    ticks.push({ value: i * step, label: labelOf(i * step, step) });
  return { min, max, ticks };
}

/** 1, 2 or 5 times a power of ten, not below `least`. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, Number.MIN_VALUE * 1e16)));
  const factor = least / power;
  return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

function labelOf(value: number, step: number): string {
  if (Math.abs(value) < step / 1e6) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) {
    const digits = Math.max(Math.floor(Math.log10(size)) - Math.floor(Math.log10(step)), 0);
    return value.toExponential(Math.min(digits, 4)).replace('e+', 'e');
  }
  return value.toFixed(Math.min(Math.max(-Math.floor(Math.log10(step) + 1e-9), 0), 8));
}
