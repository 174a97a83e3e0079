import { isLoggedIn, logOut } from './connection/daemon.js';
import { connection } from './connection/events.js';
import { scopeName, status } from './connection/status.js';
import { Button } from './parts/button.js';
import type { IconName } from './parts/icon.js';
import { route, runsHref, STATUS_HREF } from './route.js';
import { showShortcuts } from './shortcuts.js';
import { switchTheme, theme, type Theme } from './theme/scheme.js';

const THEME_ICONS: Readonly<Record<Theme, IconName>> = { auto: 'auto', light: 'sun', dark: 'moon' };
const CONNECTION_TEXTS = { connecting: 'Connecting', connected: 'Connected', lost: 'Connection lost' } as const;

/** Name, ways to the views, and how the page stands with the daemon. */
export function Header() {
  const { view } = route.value;
  const isRuns = view === 'runs' || view === 'run' || view === 'live' || view === 'compare';
  return (
    <header class="shell">
      <a class="brand" href={runsHref()} aria-label="optistore">
        <Mark />
        <span>optistore</span>
      </a>
      <nav aria-label="Views">
        <a href={runsHref()} aria-current={isRuns ? 'page' : undefined}>
          Runs
        </a>
        <a href={STATUS_HREF} aria-current={view === 'status' ? 'page' : undefined}>
          Status
        </a>
      </nav>
      <div class="about">
        <Caller />
        <span class={`connection ${connection.value}`} role="status" title={CONNECTION_TEXTS[connection.value]}>
          <span class="text">{CONNECTION_TEXTS[connection.value]}</span>
        </span>
        {status.value && <span class="version number">v{status.value.version}</span>}
        <Button kind="quiet" icon="keyboard" label="Keyboard shortcuts (?)" class="keys" onClick={showShortcuts} />
        <Button
          kind="quiet"
          icon={THEME_ICONS[theme.value]}
          label={`Theme: ${theme.value}. Switch it`}
          onClick={switchTheme}
        />
        {isLoggedIn.value && <Button kind="quiet" icon="logout" label="Log out" onClick={logOut} />}
      </div>
    </header>
  );
}

/** Whose token it is, and what it allows. */
function Caller() {
  const caller = status.value?.caller;
  if (caller === undefined) return null;
  const { name, scope, prefix } = caller;
  const keys = prefix === '' ? 'all keys' : `keys that begin with ${prefix}`;
  return (
    <span class="caller" title={`The token "${name}" has the scope ${scopeName(scope)}, for ${keys}.`}>
      <span class="name">{name}</span> <span class="muted">{scopeName(scope)}</span>
    </span>
  );
}

/** A front of four points, the sign of the page. */
function Mark() {
  return (
    <svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
      <path d="M3 2.5v14.500h14.5" />
      <path class="front" d="M6 4.500C6.5 9.5 10 13 16 13.5" />
      <circle cx="6.1" cy="5.2" r="1.7" />
      <circle cx="8.8" cy="10.4" r="1.7" />
      <circle cx="14.2" cy="13.3" r="1.7" />
    </svg>
  );
}
