import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { useComputed } from '@preact/signals';
import { nowMs } from './clock.js';
import { formatExact, formatRelative, msOf } from './format.js';

/** How long ago something was; the exact time is its tooltip. */
export function RelativeTime({ at }: { readonly at: Timestamp | undefined }) {
  const atMs = msOf(at);
  return atMs === undefined ? <span class="muted">–</span> : <Since key={atMs} atMs={atMs} />;
}

function Since({ atMs }: { readonly atMs: number }) {
  // A text of a signal changes by itself, without the row around it.
  const text = useComputed(() => formatRelative(atMs, nowMs.value));
  return (
    <time class="time" dateTime={new Date(atMs).toISOString()} title={formatExact(atMs)}>
      {text}
    </time>
  );
}
