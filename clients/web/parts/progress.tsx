import { formatCount } from './format.js';

/** How far something is; without a total it is known only that it goes on. */
export function Progress({
  label,
  done,
  total,
}: {
  readonly label: string;
  readonly done: number;
  /** Undefined or 0: not known. */
  readonly total?: number | undefined;
}) {
  const isKnown = total !== undefined && total > 0;
  return (
    <div class="progress">
      <progress aria-label={label} {...(isKnown && { value: Math.min(done, total), max: total })} />
      <span class="number">{isKnown ? `${formatCount(done)} of ${formatCount(total)}` : formatCount(done)}</span>
    </div>
  );
}
