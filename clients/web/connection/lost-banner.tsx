import { Button } from '../parts/button.js';
import { nowMs } from '../parts/clock.js';
import { formatDuration, formatExact } from '../parts/format.js';
import { Icon } from '../parts/icon.js';
import { loss, tryNow } from './events.js';

/** Says that the connection is lost, since when, and when it is tried again; what is shown stays. */
export function LostBanner() {
  const lost = loss.value;
  if (lost === undefined) return null;
  const { message, sinceMs, nextTryMs } = lost;
  return (
    <div class="lost-banner" role="alert">
      <Icon name="warning" />
      <p>
        <strong>Connection lost.</strong> {message} What you see is from{' '}
        <time dateTime={new Date(sinceMs).toISOString()} title={formatExact(sinceMs)}>
          {clockTime(sinceMs)}
        </time>
        .
      </p>
      {/* Not part of what is read aloud: it changes each second. */}
      <span class="next-try time" aria-hidden="true">
        {nextTryMs === undefined ? 'Trying…' : `Next try in ${formatDuration(Math.max(0, nextTryMs - nowMs.value))}`}
      </span>
      <Button icon="retry" onClick={tryNow}>
        Try now
      </Button>
    </div>
  );
}

function clockTime(atMs: number): string {
  return new Date(atMs).toLocaleTimeString('en-GB');
}
