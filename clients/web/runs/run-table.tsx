import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { hasSecondary } from '../connection/status.js';
import { Icon } from '../parts/icon.js';
import { isForPage } from '../shortcuts.js';
import { ask, type Sort } from './run-query.js';
import { RunRow } from './run-row.js';
import { selection, toggle, toggleAll } from './selection.js';

/** What the table shows. */
export interface RunTableProps {
  readonly results: readonly Result[];
  readonly fresh: ReadonlySet<string>;
  readonly sort: Sort;
  /** They are those of what was asked for before. */
  readonly isOld: boolean;
}

/** A page of runs. Arrow keys go from one to the next, Enter opens, Space selects. */
export function RunTable({ results, fresh, sort, isOld }: RunTableProps) {
  const current = useSignal<string | undefined>(undefined);
  const body = useRef<HTMLTableSectionElement>(null);
  const isThere = results.some(({ key }) => key === current.value);
  const currentKey = isThere ? current.value : results[0]?.key;
  const goTo = (key: string | undefined) => {
    if (key === undefined) return;
    current.value = key;
    body.current?.querySelector<HTMLElement>(`tr[data-key="${CSS.escape(key)}"] a`)?.focus();
  };
  const press = (event: KeyboardEvent) => {
    const at = results.findIndex(({ key }) => key === currentKey);
    const result = results[at];
    if (result === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const isOnControl = event.target instanceof HTMLElement && event.target.matches('button');
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: results.length - 1 }[event.key];
    if (to !== undefined) goTo(results[to]?.key);
    else if (event.key === ' ' && !isOnControl) toggle(result, event.shiftKey ? results : undefined);
    else return;
    event.preventDefault();
  };
  const isTold = (key: string) => {
    current.value = key;
  };
  useArrowsFromOutside(() => goTo(currentKey));
  return (
    <div class={`run-table card ${isOld ? 'old' : ''}`}>
      <table aria-label="Runs" aria-busy={isOld}>
        <Head results={results} sort={sort} />
        <tbody
          ref={body}
          onKeyDown={press}
          onFocusIn={({ target }) => {
            const key = target instanceof Element ? target.closest<HTMLElement>('tr')?.dataset['key'] : undefined;
            if (key !== undefined) isTold(key);
          }}
        >
          {results.map((result) => (
            <RunRow
              key={result.key}
              result={result}
              isSelected={selection.value.has(result.key)}
              isFresh={fresh.has(result.key)}
              isCurrent={result.key === currentKey}
              showsUpdates={sort.startsWith('update_time')}
              onToggle={(isRange) => toggle(result, isRange ? results : undefined)}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Where nothing has the focus, as behind a load, the first press of an up or down arrow goes into the list. */
function useArrowsFromOutside(enter: () => void): void {
  const latest = useRef(enter);
  latest.current = enter;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const isArrow = event.key === 'ArrowDown' || event.key === 'ArrowUp';
      if (!isArrow || event.shiftKey || document.activeElement !== document.body || !isForPage(event)) return;
      latest.current();
      event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}

function Head({ results, sort }: { readonly results: readonly Result[]; readonly sort: Sort }) {
  const chosen = results.filter(({ key }) => selection.value.has(key)).length;
  const isUpdates = sort.startsWith('update_time');
  return (
    <thead>
      <tr>
        <th class="choose">
          <input
            type="checkbox"
            checked={chosen > 0 && chosen === results.length}
            indeterminate={chosen > 0 && chosen < results.length}
            aria-label="Select all of this page"
            onClick={() => toggleAll(results)}
          />
        </th>
        <SortedBy name="Key" class="key" by="key" sort={sort} />
        <th scope="col" class="outcome">
          Outcome
        </th>
        <th scope="col" class="problem">
          Problem and solver
        </th>
        <th scope="col" class="number rows">
          Rows
        </th>
        <th scope="col" class="best">
          Best
        </th>
        <th scope="col" class="number size">
          Size
        </th>
        <SortedBy
          name={isUpdates ? 'Changed' : 'Committed'}
          class="when"
          by={isUpdates ? 'update_time' : 'commit_time'}
          sort={sort}
        />
        <th scope="col" class="tags">
          Tags
        </th>
        {hasSecondary.value && (
          <th scope="col" class="replication">
            Secondary
          </th>
        )}
        <th class="actions">
          <span class="unseen">Actions</span>
        </th>
      </tr>
    </thead>
  );
}

interface SortedByProps {
  readonly name: string;
  readonly class: string;
  readonly by: 'key' | 'commit_time' | 'update_time';
  readonly sort: Sort;
}

/** A head that sorts by its column; times begin with the newest. */
function SortedBy({ name, class: place, by, sort }: SortedByProps) {
  const down: Sort = `${by} desc`;
  const [first, second] = by === 'key' ? [by, down] : [down, by];
  const isSorted = sort === by || sort === down;
  return (
    <th scope="col" class={place} aria-sort={isSorted ? (sort === by ? 'ascending' : 'descending') : 'none'}>
      <button type="button" class="sorted-by" onClick={() => ask({ sort: sort === first ? second : first })}>
        {name}
        {isSorted && <Icon name={sort === by ? 'up' : 'down'} />}
      </button>
    </th>
  );
}
