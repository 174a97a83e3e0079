/** What stands where there is nothing to show: yet, at all, or because something failed. */
import type { ComponentChildren } from 'preact';
import { Button } from './button.js';
import { Icon } from './icon.js';

/** There is nothing; says what to do about it. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Something failed: what, and a way to try it again. */
export function ErrorState({
  title,
  message,
  onRetry,
  children,
}: {
  readonly title: string;
  readonly message: string;
  readonly onRetry?: () => void;
  /** What else can be done. */
  readonly children?: ComponentChildren;
}) {
  return (
    <div class="error-state" role="alert">
      <Icon name="warning" />
      <div>
        <h2>{title}</h2>
        <p>{message}</p>
      </div>
      {onRetry && (
        <Button icon="retry" onClick={onRetry}>
          Try again
        </Button>
      )}
      {children}
    </div>
  );
}

/** Something is on its way: grey lines where it will be. */
export function Loading({ label = 'Loading', lines = 8 }: { readonly label?: string; readonly lines?: number }) {
  return (
    <div class="loading" role="status" aria-label={label}>
      {Array.from({ length: lines }, (_, i) => (
        <div key={i} class={`bone bone-${i % 4}`} />
      ))}
    </div>
  );
}
