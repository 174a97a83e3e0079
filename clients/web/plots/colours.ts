/** The theme's colours for what is drawn on a canvas. */
import { computed, type ReadonlySignal } from '@preact/signals';
import { scheme } from '../theme/scheme.js';

const NAMES = [
  'surface',
  'sunken',
  'text',
  'muted',
  'line',
  'line-strong',
  'accent',
  'feasible',
  'infeasible',
  'dominated',
  'front',
  'selected',
] as const;

/** Each as `#rrggbb`. */
export type Colours = Readonly<Record<(typeof NAMES)[number], string>>;

/** As they are now; they change with the scheme. */
export const colours: ReadonlySignal<Colours> = computed(() => {
  // Who reads the value is told when the scheme changes.
  void scheme.value;
  const style = getComputedStyle(document.documentElement);
  const value = (name: string) => style.getPropertyValue(`--${name}`).trim();
  // What makes the style sheet small writes #fff for #ffffff.
  const long = (colour: string) => (colour.length === 4 ? colour.replace(/[0-9a-f]/gi, '$&$&') : colour);
  return Object.fromEntries(NAMES.map((name) => [name, long(value(name))])) as Colours;
});

/** Runs that are compared, in order: apart from each other in both schemes and for who sees few colours; shapes tell them apart as well. */
const SERIES = {
  light: ['#2a5bd7', '#c2571a', '#0f7b6c', '#9b3fa8', '#8a6d00', '#4a5568'],
  dark: ['#82a9ff', '#f0925f', '#4ec9b0', '#dc8ee6', '#e0be4d', '#a9b4c6'],
} as const;

/** From so many runs on colours come again. */
export const SERIES_COLOURS = SERIES.light.length;

/** The colour of a run among others. */
export function seriesColour(place: number): string {
  const list = SERIES[scheme.value];
  return list[place % list.length] as string;
}

/** A colour `#rrggbb` as canvas memory has it, opaque. */
export function packed(colour: string): number {
  const rgb = Number.parseInt(colour.slice(1, 7), 16);
  return (0xff000000 | ((rgb & 0xff) << 16) | (rgb & 0xff00) | ((rgb >> 16) & 0xff)) >>> 0;
}

/** A colour with an alpha from 0 to 1, for a canvas. */
export function withAlpha(colour: string, alpha: number): string {
  const byte = Math.round(Math.max(0, Math.min(1, alpha)) * 255);
  return `${colour.slice(0, 7)}${byte.toString(16).padStart(2, '0')}`;
}
