/** How numbers and times are written, the same on the whole page. */
import { timestampMs, type Timestamp } from '@bufbuild/protobuf/wkt';

const COUNT = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** A count with its thousands parted: `1,234,567`. */
export function formatCount(count: number | bigint): string {
  return COUNT.format(count);
}

/** A count with its noun, which gets an `s` unless it is one: `1 row`, `2,000 rows`. */
export function formatCounted(count: number | bigint, noun: string): string {
  return `${formatCount(count)} ${noun}${Number(count) === 1 ? '' : 's'}`;
}

/** A size with three digits: `1.21 MiB`. */
export function formatBytes(bytes: number | bigint): string {
  let size = Number(bytes);
  let unit = 0;
  while (size >= 1024 && unit < BYTE_UNITS.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? size : threeDigits(size)} ${BYTE_UNITS[unit]}`;
}

function threeDigits(size: number): string {
  return size >= 99.95 ? size.toFixed(0) : size >= 9.995 ? size.toFixed(1) : size.toFixed(2);
}

/** A measured value with as many digits as tell something; NaN and infinities by their names. */
export function formatNumber(value: number, digits = 5): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  if (size === 0) return '0';
  const text =
    size >= 1e-4 && size < 1e7
      ? String(Number(value.toPrecision(digits)))
      : value.toExponential(digits - 1).replace(/\.?0+e\+?/, 'e');
  return text.replaceAll('-', '−');
}

/** A part of a whole: `97.3 %`. */
export function formatShare(share: number): string {
  return `${(share * 100).toFixed(share >= 0.9995 || share === 0 ? 0 : 1)} %`;
}

/** A speed: `1,240`, `12.5`. */
export function formatRate(rate: number): string {
  return rate >= 100 || rate === 0 ? formatCount(Math.round(rate)) : rate.toPrecision(2);
}

const STEPS: readonly [seconds: number, unit: string][] = [
  [365 * 86_400, 'y'],
  [30 * 86_400, 'mo'],
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
];

/** A time that has passed, in its largest unit: `3 min`. */
export function formatDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.round(durationMs / 1000));
  for (const [size, unit] of STEPS) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return '0 s';
}

/** How long ago, or in how long: `3 min ago`, `in 2 d`. */
export function formatRelative(atMs: number, nowMs: number): string {
  const passedMs = nowMs - atMs;
  // A clock of the daemon's that is a little ahead of the browser's is no future.
  if (passedMs < 3000 && passedMs > -3000) return 'now';
  return passedMs > 0 ? `${formatDuration(passedMs)} ago` : `in ${formatDuration(-passedMs)}`;
}

const EXACT = new Intl.DateTimeFormat('en-CA', {
  dateStyle: 'short',
  timeStyle: 'medium',
  hourCycle: 'h23',
});

/** Date and time in the browser's zone, and in UTC as filters take it. */
export function formatExact(atMs: number): string {
  return `${EXACT.format(atMs).replace(',', '')} (${new Date(atMs).toISOString()})`;
}

/** A timestamp of the contract in ms since 1970; undefined where it is absent. */
export function msOf(timestamp: Timestamp | undefined): number | undefined {
  return timestamp === undefined ? undefined : timestampMs(timestamp);
}
