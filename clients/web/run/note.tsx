import type { ComponentChildren } from 'preact';

/** A word on the run as a whole, above it. */
export function Note({ children }: { readonly children: ComponentChildren }) {
  return (
    <div class="note" role="status">
      {children}
    </div>
  );
}
