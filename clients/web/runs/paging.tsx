import { formatCounted } from '../parts/format.js';
import { Button } from '../parts/button.js';
import type { RunPage } from './run-list.js';
import { turnTo, type RunQuery } from './run-query.js';

/** The pages that were gone through, per question: a token tells the way ahead alone. */
const trails = new Map<string, string[]>();
const TRAILS_MAX = 50;

function trailOf({ filter, prefix, sort }: RunQuery): string[] {
  const name = JSON.stringify([filter, prefix, sort]);
  const trail = trails.get(name) ?? [''];
  // The oldest goes where there are too many.
  if (!trails.has(name) && trails.size >= TRAILS_MAX) trails.delete(trails.keys().next().value ?? '');
  trails.set(name, trail);
  return trail;
}

/** First, previous, next: the daemon's pages are found by their tokens. */
export function Paging({ page: { query, nextPageToken, results } }: { readonly page: RunPage }) {
  const trail = trailOf(query);
  const at = trail.indexOf(query.pageToken);
  if (nextPageToken === '' && query.pageToken === '') return null;
  const isFirst = query.pageToken === '';
  const goOn = () => {
    // Behind a page that was opened by a link a new trail begins.
    if (at < 0) trail.push(query.pageToken);
    trail.splice(trail.indexOf(query.pageToken) + 1, Infinity, nextPageToken);
    turnTo(nextPageToken);
  };
  const isUnknown =
    at < 0 ? 'This page was opened by a link, and the one before is not known: go to the first.' : undefined;
  return (
    <nav class="paging" aria-label="Pages">
      <span class="muted">
        {at < 0 ? 'A page further back' : `Page ${at + 1}`}, {formatCounted(results.length, 'run')}
      </span>
      <Button icon="first" whyNot={isFirst ? 'This is the first page.' : undefined} onClick={() => turnTo('')}>
        First
      </Button>
      <Button
        icon="left"
        whyNot={isFirst ? 'This is the first page.' : isUnknown}
        onClick={() => turnTo(trail[at - 1] ?? '')}
      >
        Previous
      </Button>
      <Button icon="right" whyNot={nextPageToken === '' ? 'This is the last page.' : undefined} onClick={goOn}>
        Next
      </Button>
    </nav>
  );
}
