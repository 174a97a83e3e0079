/** Characters that take two cells of a terminal. */
const WIDE =
  /[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60]/u;
const SEGMENTS = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** How many cells a text takes. */
export function cellsOf(text: string): number {
  let cells = 0;
  for (const { segment } of SEGMENTS.segment(text)) cells += WIDE.test(segment) ? 2 : 1;
  return cells;
}

/** A text in exactly so many cells: cut, ending in `…`, or filled with blanks. */
export function fit(text: string, width: number): string {
  const clean = text.replace(/\p{Cc}/gu, ' ');
  const cells = cellsOf(clean);
  if (cells <= width) return clean + ' '.repeat(width - cells);
  let kept = '';
  let used = 0;
  for (const { segment } of SEGMENTS.segment(clean)) {
    const next = WIDE.test(segment) ? 2 : 1;
    if (used + next > width - 1) break;
    kept += segment;
    used += next;
  }
  return width <= 0 ? '' : `${kept}…${' '.repeat(width - used - 1)}`;
}
