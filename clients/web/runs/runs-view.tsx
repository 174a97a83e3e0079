import { useEffect, useMemo } from 'preact/hooks';
import { uploads } from '../connection/uploads.js';
import { Button } from '../parts/button.js';
import { formatCounted } from '../parts/format.js';
import { Icon } from '../parts/icon.js';
import { ErrorState, Loading } from '../parts/states.js';
import { NoMatch, NoRuns } from './no-runs.js';
import { Paging } from './paging.js';
import { RunList } from './run-list.js';
import { MovingRun } from './run-menu.js';
import { OperationsPanel } from '../status/operations-panel.js';
import { runQuery, turnTo } from './run-query.js';
import { RunTable } from './run-table.js';
import './runs.css';
import { SelectionBar } from './selection-bar.js';
import { Toolbar } from './toolbar.js';
import { UploadsPanel } from './uploads-panel.js';

/** The list of runs, with saves in progress above it. */
export function RunsView() {
  const query = runQuery.value;
  const list = useMemo(() => new RunList(), []);
  useEffect(() => () => list[Symbol.dispose](), []);
  useEffect(() => {
    void list.show(query);
  }, [query]);
  const failure = list.failure.value;
  const isFilterInvalid = failure?.reason === 'FILTER_INVALID';
  return (
    <div class="runs">
      <h1 class="unseen">Runs</h1>
      <OperationsPanel />
      <UploadsPanel prefix={query.prefix} />
      <Toolbar query={query} error={failure} />
      <div class="above">
        <SelectionBar />
        <Unseen list={list} />
      </div>
      {failure !== undefined && !isFilterInvalid && (
        <ErrorState
          title="The runs could not be listed"
          message={failure.message}
          onRetry={() => (failure.reason === 'PAGE_TOKEN_INVALID' ? turnTo('') : void list.reload())}
        />
      )}
      <Page list={list} isHidden={failure !== undefined && !isFilterInvalid} />
      <MovingRun />
    </div>
  );
}

/** What was saved while another page than the first is read: shown on demand, so that nothing moves. */
function Unseen({ list }: { readonly list: RunList }) {
  const count = list.unseen.value.size;
  if (count === 0) return null;
  const show = () => {
    if (runQuery.peek().pageToken === '') void list.reload();
    else turnTo('');
  };
  return (
    <Button class="unseen-runs" icon="up" onClick={show}>
      {formatCounted(count, 'new result')}
    </Button>
  );
}

function Page({ list, isHidden }: { readonly list: RunList; readonly isHidden: boolean }) {
  const page = list.page.value;
  if (isHidden) return null;
  if (page === undefined)
    return list.failure.value === undefined ? <Loading label="Loading the runs" lines={10} /> : null;
  const { query, results } = page;
  if (results.length === 0 && query.pageToken === '') {
    if (query.filter !== '' || query.prefix !== '') return <NoMatch query={query} />;
    return uploads.value.size > 0 ? null : <NoRuns />;
  }
  return (
    <>
      {page.unreachable.length > 0 && (
        <p class="notice">
          <Icon name="warning" />
          The {page.unreachable.join(' and the ')} can’t be asked, or has entries that do not check:{' '}
          {page.isStale ? 'what you see may be older than what was saved.' : 'something may be lacking.'}
        </p>
      )}
      <RunTable
        results={results}
        fresh={list.fresh.value}
        sort={query.sort}
        isOld={list.isLoading.value || list.failure.value !== undefined}
      />
      <Paging page={page} />
    </>
  );
}
