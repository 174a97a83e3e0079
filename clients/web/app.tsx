import { useLayoutEffect, useRef } from 'preact/hooks';
import './app.css';
import { tokenWanted } from './connection/daemon.js';
import { Login } from './connection/login.js';
import { LostBanner } from './connection/lost-banner.js';
import { Header } from './header.js';
import { Questions } from './parts/dialog.js';
import { later } from './parts/later.js';
import './parts/parts.css';
import { Empty } from './parts/states.js';
import { Toasts } from './parts/toast.js';
import { route, runsHref, type Route } from './route.js';
import { RunsView } from './runs/runs-view.js';
import { Shortcuts } from './shortcuts.js';
import { StatusView } from './status/status-view.js';
import './theme/theme.css';

const RunView = later(async () => (await import('./run/run-view.js')).RunView);
const LiveView = later(async () => (await import('./run/live-view.js')).LiveView);
const CompareView = later(async () => (await import('./compare/compare-view.js')).CompareView);

/** The page. */
export function App() {
  const main = useRef<HTMLElement>(null);
  const here = route.value;
  const title = titleOf(here);
  // Before the views' own effects: one that is come back to scrolls to where it was.
  useLayoutEffect(() => {
    document.title = title;
    scrollTo(0, 0);
  }, [title]);
  const skip = (event: Event) => {
    // The part of the address behind # is where the page is.
    event.preventDefault();
    document.getElementById('content')?.focus();
  };
  return (
    <>
      <a class="skip" href="#content" onClick={skip}>
        Skip to the content
      </a>
      <Header />
      <LostBanner />
      {tokenWanted.value === undefined ? (
        <main id="content" ref={main} tabIndex={-1}>
          <View here={here} />
        </main>
      ) : (
        <Login />
      )}
      <Questions />
      <Shortcuts />
      <Toasts />
    </>
  );
}

function View({ here }: { readonly here: Route }) {
  switch (here.view) {
    case 'runs':
      return <RunsView />;
    case 'run':
      return <RunView key={here.key} runKey={here.key} />;
    case 'live':
      return <LiveView key={here.key} runKey={here.key} />;
    case 'compare':
      return <CompareView key={here.keys.join('\n')} keys={here.keys} />;
    case 'status':
      return <StatusView />;
    case 'none':
      return (
        <Empty title="There is nothing at this address">
          <p>
            Go to the <a href={runsHref()}>runs</a>.
          </p>
        </Empty>
      );
    default:
      return here satisfies never;
  }
}

function titleOf(here: Route): string {
  switch (here.view) {
    case 'runs':
      return 'Runs · optistore';
    case 'run':
      return `${here.key} · optistore`;
    case 'live':
      return `${here.key}, live · optistore`;
    case 'compare':
      return `Compare ${here.keys.length} runs · optistore`;
    case 'status':
      return 'Status · optistore';
    case 'none':
      return 'optistore';
    default:
      return here satisfies never;
  }
}
