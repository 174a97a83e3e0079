import type { ComponentChildren } from 'preact';

/** What kind of news a badge is. */
export type Tone = 'plain' | 'ok' | 'warn' | 'error' | 'accent';

/** A short state, by a dot of its colour and in words. */
export function Badge({
  tone = 'plain',
  title,
  children,
}: {
  readonly tone?: Tone;
  readonly title?: string | undefined;
  readonly children: ComponentChildren;
}) {
  return (
    <span class={`badge ${tone}`} title={title}>
      {children}
    </span>
  );
}
