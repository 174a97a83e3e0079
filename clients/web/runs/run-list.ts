import { batch, effect, signal } from '@preact/signals';
import { ResultView, type Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { OptistoreError } from '../../typescript/errors.js';
import { daemon, tokenWanted } from '../connection/daemon.js';
import { explain, isAborted } from '../connection/errors.js';
import { connection, onEvent, whenWatching, type DaemonEvent } from '../connection/events.js';
import { route } from '../route.js';
import type { RunQuery } from './run-query.js';
import { forget, renew } from './selection.js';

/** A page of runs. */
export interface RunPage {
  readonly query: RunQuery;
  readonly results: readonly Result[];
  /** Empty: this is the last page. */
  readonly nextPageToken: string;
  /** Stores that could not be asked. */
  readonly unreachable: readonly string[];
  readonly isStale: boolean;
}

/** As many as a large screen shows; the daemon cuts a page at 1 MiB. */
const PAGE_SIZE = 50;
/** Commits that come close behind each other are shown at once. */
const RELOAD_AFTER_MS = 200;
const RELOADS_APART_MS = 1000;
/** More than so many new results are not counted. */
export const UNSEEN_MAX = 100;
/** Rows are marked as new for this long. */
const FRESH_MS = 4000;

/** What was shown last: whoever comes back sees it at once, where they were. Not with another token. */
let remembered: { readonly page: RunPage; readonly scrollTop: number } | undefined;
effect(() => {
  if (tokenWanted.value !== undefined) remembered = undefined;
});

/** The runs that are shown, kept up to date by what the daemon tells. */
export class RunList implements Disposable {
  readonly page = signal<RunPage | undefined>(undefined);
  readonly failure = signal<OptistoreError | undefined>(undefined);
  readonly isLoading = signal(false);
  /** Keys that came while they were looked at. */
  readonly fresh = signal<ReadonlySet<string>>(new Set());
  /** Keys that were saved meanwhile and are not on this page, as it is not the first. */
  readonly unseen = signal<ReadonlySet<string>>(new Set());

  private query: RunQuery | undefined;
  private loading = new AbortController();
  private isOutdated = false;
  private isBusy = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private loadedMs = 0;
  private readonly toCount: string[] = [];
  private isCounting = false;
  /** Noted as it changes, and only here: when the view goes, its height is gone, and the next one is at its top already. */
  private scrollTop = 0;
  private readonly noteScroll = () => {
    if (route.peek().view === 'runs') this.scrollTop = scrollY;
  };
  private readonly stops: (() => void)[];

  constructor() {
    const stopRetries = effect(() => {
      if (connection.value === 'connected' && (this.isOutdated || this.failure.peek()?.isRetryable)) void this.reload();
    });
    addEventListener('scroll', this.noteScroll, { passive: true });
    this.stops = [onEvent((event) => this.take(event)), stopRetries];
  }

  /** Shows what is asked for; what is shown stays until that is there. */
  async show(query: RunQuery): Promise<void> {
    this.query = query;
    this.unseen.value = new Set();
    this.toCount.length = 0;
    const isBack = this.page.peek() === undefined && this.bringBack(query);
    await whenWatching();
    // Someone may have gone on meanwhile.
    if (this.query === query) await this.load(query, isBack);
  }

  /** Asks for the same again. */
  async reload(): Promise<void> {
    this.unseen.value = new Set();
    if (this.query !== undefined) await this.load(this.query, true);
  }

  [Symbol.dispose](): void {
    const page = this.page.peek();
    if (page !== undefined && tokenWanted.peek() === undefined) remembered = { page, scrollTop: this.scrollTop };
    removeEventListener('scroll', this.noteScroll);
    this.loading.abort();
    clearTimeout(this.timer);
    for (const stop of this.stops) stop();
  }

  /** Shows what was shown before the view was left, if it is the same; gives whether it is. */
  private bringBack(query: RunQuery): boolean {
    if (remembered === undefined || JSON.stringify(remembered.page.query) !== JSON.stringify(query)) return false;
    const { page, scrollTop } = remembered;
    this.page.value = { ...page, query };
    requestAnimationFrame(() => scrollTo(0, scrollTop));
    return true;
  }

  private async load(query: RunQuery, isSame: boolean): Promise<void> {
    this.loading.abort();
    const { signal } = (this.loading = new AbortController());
    this.isLoading.value = !isSame;
    this.isOutdated = false;
    this.isBusy = true;
    try {
      const page = await listPage(query, signal);
      if (this.query !== query || signal.aborted) return;
      const known = new Set(this.page.peek()?.results.map(({ key }) => key));
      batch(() => {
        if (isSame && this.page.peek() !== undefined) this.markFresh(page.results.filter(({ key }) => !known.has(key)));
        this.page.value = page;
        renew(page.results);
        this.failure.value = undefined;
      });
    } catch (error) {
      if (!isAborted(error)) this.fail(explain(error), query);
    } finally {
      if (!signal.aborted) this.end();
    }
  }

  private end(): void {
    this.isLoading.value = false;
    this.isBusy = false;
    this.loadedMs = Date.now();
    // What came meanwhile has waited: with each reload breaking off the one before, a slow list would never end.
    if (this.isOutdated && this.failure.peek() === undefined) this.reloadSoon();
  }

  private fail(error: OptistoreError, query: RunQuery): void {
    this.isOutdated = true;
    // While the daemon is away the page says so elsewhere, and what is here stays.
    if (error.isRetryable && this.page.peek()?.query === query) return;
    this.failure.value = error;
  }

  private take(event: DaemonEvent): void {
    const { query } = this;
    if (query === undefined) return;
    if (event.case === 'deleted') this.remove(event.value.key);
    if (event.case === 'relist' || query.pageToken === '') return this.reloadSoon();
    if (event.case === 'deleted') return;
    const { key } = event.value;
    const isShown = this.page.peek()?.results.some((shown) => shown.key === key) ?? false;
    if (isShown) void this.refresh(key);
    else if (event.case === 'committed') void this.countUnseen(key, query);
  }

  private reloadSoon(): void {
    this.isOutdated = true;
    if (this.timer !== undefined || this.isBusy) return;
    const waitMs = Math.max(RELOAD_AFTER_MS, this.loadedMs + RELOADS_APART_MS - Date.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (connection.peek() === 'connected') void this.reload();
    }, waitMs);
  }

  /** Takes one anew where it stands. */
  private async refresh(key: string): Promise<void> {
    try {
      const { result } = await daemon.getResult({ key, view: ResultView.FULL }, { signal: this.loading.signal });
      if (result === undefined) return;
      this.change((shown) => shown.map((old) => (old.key === key ? result : old)));
      renew([result]);
    } catch (error) {
      if (!isAborted(error)) this.isOutdated = true;
    }
  }

  /** Counts keys that belong to what is shown, one question at a time. */
  private async countUnseen(key: string, query: RunQuery): Promise<void> {
    if (!key.startsWith(query.prefix) || this.unseen.peek().size + this.toCount.length >= UNSEEN_MAX) return;
    this.toCount.push(key);
    if (this.isCounting) return;
    this.isCounting = true;
    try {
      for (let next = this.toCount.shift(); next !== undefined; next = this.toCount.shift()) {
        const isOne = query.filter === '' || (await isMatch(next, query.filter, this.loading.signal));
        if (isOne && this.query === query) this.unseen.value = new Set(this.unseen.peek()).add(next);
      }
    } catch (error) {
      if (!isAborted(error)) this.isOutdated = true;
    } finally {
      this.isCounting = false;
    }
  }

  private remove(key: string): void {
    forget(key);
    this.change((shown) => shown.filter((result) => result.key !== key));
    const unseen = new Set(this.unseen.peek());
    if (unseen.delete(key)) this.unseen.value = unseen;
  }

  private change(by: (shown: readonly Result[]) => readonly Result[]): void {
    const page = this.page.peek();
    if (page !== undefined) this.page.value = { ...page, results: by(page.results) };
  }

  private markFresh(results: readonly Result[]): void {
    if (results.length === 0) return;
    const keys = results.map(({ key }) => key);
    this.fresh.value = new Set([...this.fresh.peek(), ...keys]);
    setTimeout(() => {
      this.fresh.value = new Set([...this.fresh.peek()].filter((key) => !keys.includes(key)));
    }, FRESH_MS);
  }
}

async function listPage(query: RunQuery, signal: AbortSignal): Promise<RunPage> {
  const { filter, prefix, sort, pageToken } = query;
  // FULL has the best values, and is as quick: see docs/web.md.
  const request = { filter, prefix, orderBy: sort, pageToken, pageSize: PAGE_SIZE, view: ResultView.FULL };
  const { results, nextPageToken, unreachable, stale } = await daemon.listResults(request, { signal });
  return { query, results, nextPageToken, unreachable, isStale: stale };
}

async function isMatch(key: string, filter: string, signal: AbortSignal): Promise<boolean> {
  // Of the keys that begin with it, it is the first.
  const { results } = await daemon.listResults({ prefix: key, filter, pageSize: 1 }, { signal });
  return results[0]?.key === key;
}
