import { RowClass } from '../../../server/rows/front/row-classes.js';
import { colours, packed, SERIES_COLOURS, seriesColour, type Colours } from './colours.js';
import type { PointStyle, Shape } from './points.js';

/** How the rows of a class are drawn, and what they are called. */
export interface Mark {
  readonly name: string;
  /** What the name does not say. */
  readonly meaning?: string;
  readonly colour: string;
  /** Of its rows that are selected. */
  readonly selectedColour: string;
  readonly shape: Shape;
  /** In CSS pixels at the page's smallest text. */
  readonly radius: number;
  readonly alpha: number;
  /** What is left of `alpha` while other rows are selected. */
  readonly faded: number;
}

const FADED = 0.28;

const CLASS_MARKS: readonly (Omit<Mark, 'colour' | 'selectedColour'> & { readonly colour: keyof Colours })[] = [
  { name: 'infeasible', colour: 'infeasible', shape: 'cross', radius: 2.9, alpha: 0.6, faded: FADED },
  { name: 'dominated', colour: 'dominated', shape: 'dot', radius: 1.9, alpha: 0.75, faded: FADED },
  { name: 'feasible', colour: 'feasible', shape: 'square', radius: 2.4, alpha: 0.85, faded: FADED },
  { name: 'front', colour: 'front', shape: 'diamond', radius: 3.6, alpha: 1, faded: 0.45 },
];

/** Where there are objectives, feasible rows that are neither of the front nor dominated are those that can't be ranked. */
const UNRANKED = { name: 'without objectives', meaning: 'rows that lack the value of an objective' };

/** By RowClass, in the colours of now; of a problem that has objectives or none. */
export function classMarks(hasObjectives: boolean): Mark[] {
  const { selected: selectedColour } = colours.value;
  return CLASS_MARKS.map((mark, i) => ({
    ...mark,
    ...(hasObjectives && i === RowClass.FEASIBLE && UNRANKED),
    ...{ colour: colours.value[mark.colour], selectedColour },
  }));
}

const RUN_SHAPES: readonly Shape[] = ['diamond', 'dot', 'triangle', 'square', 'ring', 'cross'];

/** A run's among others: its selected rows are still seen to be its. */
export function runMark(name: string, place: number): Mark {
  // Of those that share a colour, each has another shape.
  const shape = RUN_SHAPES[(place + Math.floor(place / SERIES_COLOURS)) % RUN_SHAPES.length] as Shape;
  const colour = seriesColour(place);
  return { name, colour, selectedColour: colour, shape, radius: 3.4, alpha: 0.9, faded: FADED };
}

/** Most marks there are; behind them come the faded ones and then the selected ones. */
export const MARKS_MAX = 32;

/** The styles of points: faded below, then as they are, then selected, each by mark. */
export function pointStyles(
  marks: readonly Mark[],
  counts: readonly number[],
  scale: number,
): (PointStyle | undefined)[] {
  const styles = new Array<PointStyle | undefined>(3 * MARKS_MAX).fill(undefined);
  marks.forEach(({ colour, selectedColour, shape, radius, alpha, faded }, i) => {
    const drawn = { shape, radius: Math.max(1, radius * crowd(counts[i] ?? 0) * scale) };
    styles[i] = { ...drawn, colour: packed(colour), alpha: alpha * faded };
    styles[MARKS_MAX + i] = { ...drawn, colour: packed(colour), alpha };
    styles[2 * MARKS_MAX + i] = {
      shape,
      radius: drawn.radius + 0.5 * scale,
      colour: packed(selectedColour),
      alpha: Math.max(alpha, 0.9),
    };
  });
  return styles;
}

/** Many points hide each other: the smaller, the more is seen. */
function crowd(count: number): number {
  return count > 50_000 ? 0.6 : count > 10_000 ? 0.7 : count > 2000 ? 0.8 : count > 400 ? 0.9 : 1;
}

/** The style of each row, by its class and whether it is selected; 255 where it is hidden. */
export function styleOfRows(
  classes: Uint8Array,
  mask: Uint8Array | undefined,
  hidden: ReadonlySet<number>,
  into: Uint8Array,
): void {
  for (let row = 0; row < into.length; row++) {
    const mark = classes[row] as number;
    const level = mask === undefined ? 1 : mask[row] === 1 ? 2 : 0;
    into[row] = hidden.has(mark) ? 255 : level * MARKS_MAX + mark;
  }
}
