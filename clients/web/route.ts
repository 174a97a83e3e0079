import { signal, type ReadonlySignal } from '@preact/signals';

/** Where the page is, as its address says behind `#`. */
export type Route =
  | { readonly view: 'runs'; readonly query: URLSearchParams }
  | { readonly view: 'run'; readonly key: string; readonly query: URLSearchParams }
  | { readonly view: 'live'; readonly key: string; readonly query: URLSearchParams }
  | { readonly view: 'compare'; readonly keys: readonly string[]; readonly query: URLSearchParams }
  | { readonly view: 'status'; readonly query: URLSearchParams }
  | { readonly view: 'none'; readonly query: URLSearchParams };

const current = signal<Route>(parseRoute(location.hash));
addEventListener('hashchange', () => (current.value = parseRoute(location.hash)));

/** Where the page is. */
export const route: ReadonlySignal<Route> = current;

/** Reads the part of an address from `#` on. */
export function parseRoute(hash: string): Route {
  const [path = '', text = ''] = split(hash.replace(/^#\/?/, ''), '?');
  const query = new URLSearchParams(text);
  const [view = '', rest] = split(path, '/');
  if (view === '') return { view: 'runs', query };
  if (view === 'status' && rest === undefined) return { view: 'status', query };
  if (view === 'compare' && rest === undefined) return { view: 'compare', keys: query.getAll('key'), query };
  const key = rest === undefined ? undefined : decoded(rest);
  if ((view === 'run' || view === 'live') && key !== undefined && key !== '') return { view, key, query };
  return { view: 'none', query };
}

/** The address of the list of runs, with what is asked for. */
export function runsHref(query: URLSearchParams = new URLSearchParams()): string {
  return withQuery('#/', query);
}

/** The address of a run, with what is shown of it. */
export function runHref(key: string, query: URLSearchParams = new URLSearchParams()): string {
  return withQuery(`#/run/${encodeURIComponent(key)}`, query);
}

/** The address of a save in progress. */
export function liveHref(key: string): string {
  return `#/live/${encodeURIComponent(key)}`;
}

/** An address has room for so many runs, and marks tell them apart. */
export const COMPARED_MAX = 20;

/** The address of the comparison of some runs. */
export function compareHref(keys: readonly string[]): string {
  return withQuery('#/compare', new URLSearchParams(keys.map((key) => ['key', key])));
}

export const STATUS_HREF = '#/status';

/** Goes to an address that one of the functions here gave; with `replace`, Back does not come back here. */
export function navigate(href: string, { replace = false }: { readonly replace?: boolean } = {}): void {
  if (replace) history.replaceState(null, '', href);
  else history.pushState(null, '', href);
  // Neither of them tells of itself.
  current.value = parseRoute(location.hash);
}

/** Changes some of the query of where the page is; undefined and the empty text remove. */
export function changeQuery(
  changes: Readonly<Record<string, string | undefined>>,
  options: { readonly replace?: boolean } = {},
): void {
  const [path = ''] = split(location.hash === '' ? '#/' : location.hash, '?');
  const query = new URLSearchParams(current.peek().query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') query.delete(name);
    else query.set(name, value);
  }
  navigate(withQuery(path, query), options);
}

function withQuery(path: string, query: URLSearchParams): string {
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}

/** A text up to a sign, and what is behind it; undefined where there is no such sign. */
function split(text: string, sign: string): [before: string, behind: string | undefined] {
  const at = text.indexOf(sign);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
