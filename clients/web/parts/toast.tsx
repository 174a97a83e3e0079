import { signal } from '@preact/signals';
import { Button } from './button.js';
import { Icon } from './icon.js';

/** A word on something that was done, or that failed. */
interface Notice {
  readonly id: number;
  readonly text: string;
  readonly isError: boolean;
}

const SHOWN_MS = 6000;
const NOTICES_MAX = 4;
const shown = signal<readonly Notice[]>([]);
let lastId = 0;

/** Tells of something at the edge of the page. What went well goes by itself; what failed stays until it is closed. */
export function toast(text: string, { isError = false }: { readonly isError?: boolean } = {}): void {
  const id = ++lastId;
  shown.value = [...shown.peek(), { id, text, isError }].slice(-NOTICES_MAX);
  if (!isError) setTimeout(() => close(id), SHOWN_MS);
}

function close(id: number): void {
  shown.value = shown.peek().filter((notice) => notice.id !== id);
}

/** Where notices are shown: once in the page. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.value.map(({ id, text, isError }) => (
        <div key={id} class={`toast ${isError ? 'failed' : ''}`}>
          <Icon name={isError ? 'warning' : 'check'} />
          <p>{text}</p>
          <Button kind="quiet" icon="close" label="Dismiss" onClick={() => close(id)} />
        </div>
      ))}
    </div>
  );
}
