import { formatRate } from './format.js';

/** How fast rows come; a dash until that was measured. */
export function Rate({ rate }: { readonly rate: number | undefined }) {
  return (
    <span class="rate number" title={rate === undefined ? 'It is being measured.' : undefined}>
      {rate === undefined ? '–' : formatRate(rate)} rows/s
    </span>
  );
}
