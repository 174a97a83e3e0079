import { computed, type ReadonlySignal } from '@preact/signals';
import { changeQuery, route } from '../route.js';
import { joinFilters } from './filter-text.js';

/** By what the list is sorted; as the daemon takes it. */
export const SORTS = {
  'commit_time desc': 'Newest first',
  commit_time: 'Oldest first',
  'update_time desc': 'Changed last',
  update_time: 'Changed first',
  key: 'Key A–Z',
  'key desc': 'Key Z–A',
} as const;

/** Name of an order. */
export type Sort = keyof typeof SORTS;

/** What the list shows, as the address says. */
export interface RunQuery {
  readonly filter: string;
  readonly prefix: string;
  readonly sort: Sort;
  /** The token of the page; empty: the first. */
  readonly pageToken: string;
}

const DEFAULT_SORT: Sort = 'commit_time desc';

/** What the list shows. */
export const runQuery: ReadonlySignal<RunQuery> = computed(() => {
  const { query } = route.value;
  const sort = query.get('sort') ?? '';
  return {
    filter: query.get('filter') ?? '',
    prefix: query.get('prefix') ?? '',
    sort: isSort(sort) ? sort : DEFAULT_SORT,
    pageToken: query.get('page') ?? '',
  };
});

function isSort(text: string): text is Sort {
  return text in SORTS;
}

/** Shows other runs, from the first page on. */
export function ask(changes: Partial<Pick<RunQuery, 'filter' | 'prefix' | 'sort'>>, replace = false): void {
  const { sort } = changes;
  const order = sort === DEFAULT_SORT ? '' : sort;
  changeQuery({ ...changes, ...(order !== undefined && { sort: order }), page: undefined }, { replace });
}

/** Shows only those of the runs for which this holds as well. */
export function narrow(filter: string): void {
  ask({ filter: joinFilters(runQuery.peek().filter, filter) });
}

/** Shows another page. */
export function turnTo(pageToken: string): void {
  changeQuery({ page: pageToken });
}
