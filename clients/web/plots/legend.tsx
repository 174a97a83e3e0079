import { formatCount } from '../parts/format.js';
import type { Mark } from './marks.js';
import type { Shape } from './points.js';

const SHAPES: Readonly<Record<Shape, string>> = {
  dot: 'M5 2.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6Z',
  ring: 'M5 1.6a3.4 3.4 0 1 0 0 6.8 3.4 3.4 0 0 0 0-6.8Z',
  square: 'M2 2h6v6H2Z',
  diamond: 'M5 .8 9.2 5 5 9.2.8 5Z',
  triangle: 'M5 1.2 9 8.6H1Z',
  cross: 'M1.8 1.8l6.4 6.4M8.2 1.8 1.8 8.2',
};

/** A mark as it is in the plot. */
export function MarkSign({ shape, colour }: Pick<Mark, 'shape' | 'colour'>) {
  const isStroke = shape === 'cross' || shape === 'ring';
  return (
    <svg class="mark-sign" viewBox="0 0 10 10" aria-hidden="true" focusable="false">
      <path d={SHAPES[shape]} {...(isStroke ? { stroke: colour, fill: 'none' } : { fill: colour })} />
    </svg>
  );
}

/** What the marks mean and how many rows each has; each is a button that hides its rows and shows them again. */
export function Legend({
  marks,
  counts,
  hidden,
  onToggle,
}: {
  readonly marks: readonly Mark[];
  readonly counts: readonly number[];
  readonly hidden: ReadonlySet<number>;
  readonly onToggle: (mark: number) => void;
}) {
  return (
    <div class="legend" role="group" aria-label="Legend">
      {marks.map(({ name, meaning, shape, colour }, i) =>
        counts[i] === 0 ? null : (
          <button
            key={name}
            type="button"
            aria-pressed={!hidden.has(i)}
            title={`${hidden.has(i) ? 'Show' : 'Hide'} ${meaning ?? name}`}
            onClick={() => onToggle(i)}
          >
            <MarkSign shape={shape} colour={colour} />
            <span>{name}</span>
            <span class="muted number">{formatCount(counts[i] ?? 0)}</span>
          </button>
        ),
      )}
    </div>
  );
}
