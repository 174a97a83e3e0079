import { signal } from '@preact/signals';
import { Dialog } from './parts/dialog.js';
import { navigate, runsHref, STATUS_HREF } from './route.js';

const isShown = signal(false);
/** A second key belongs to the first for this long. */
const PAIR_MS_MAX = 1200;

/** What keys do, on which views. */
const KEYS: readonly [where: string, keys: readonly (readonly [keys: readonly string[], does: string])[]][] = [
  [
    'Everywhere',
    [
      [['g', 'r'], 'Runs'],
      [['g', 's'], 'Status'],
      [['/'], 'To the search'],
      [['?'], 'These shortcuts'],
      [['Esc'], 'Close what is open; leave a field'],
    ],
  ],
  [
    'Runs',
    [
      [['↑', '↓'], 'From row to row; Home and End: the first, the last'],
      [['Enter'], 'Open the run'],
      [['Space'], 'Select it; with Shift, all from the last one selected on'],
      [['c'], 'Compare what is selected'],
      [['Del'], 'Delete what is selected; asks first'],
    ],
  ],
  [
    'A run',
    [
      [['←', '→'], 'From view to view; in a scatter along the front; of parallel coordinates move an axis'],
      [['Enter'], 'In a scatter, select the row that is shown'],
      [['+', '−', '0'], 'In a scatter, zoom in and out, show all; Shift with arrow keys moves'],
      [['b'], 'On an axis of parallel coordinates, brush it; ↑ and ↓ move the brush, with Shift they grow it'],
      [['Space'], 'In the table, select the row; with Shift and ↑ or ↓ more of them'],
      [['Esc'], 'Clear the selection'],
    ],
  ],
];

/** Shows the shortcuts. */
export function showShortcuts(): void {
  isShown.value = true;
}

/** Listens to the keys that work everywhere. */
export function listenToShortcuts(): void {
  let firstAtMs = 0;
  addEventListener('keydown', (event) => {
    if (!isForPage(event)) return;
    const isPair = Date.now() - firstAtMs < PAIR_MS_MAX;
    firstAtMs = 0;
    if (isPair && event.key === 'r') navigate(runsHref());
    else if (isPair && event.key === 's') navigate(STATUS_HREF);
    else if (event.key === 'g') firstAtMs = Date.now();
    else if (event.key === '?') showShortcuts();
    else if (event.key === '/') focusSearch();
    else return;
    event.preventDefault();
  });
}

/** Whether a key is meant for what is shown as a whole: not typed, not for a dialog or a part that has taken it already. */
export function isForPage(event: KeyboardEvent): boolean {
  const isCombined = event.ctrlKey || event.metaKey || event.altKey;
  return !event.defaultPrevented && !isCombined && !isTyping(event.target) && !isModal();
}

/** A view has one field at most that is its search. */
function focusSearch(): void {
  const field = document.querySelector<HTMLInputElement>('[data-search]');
  if (field === null) navigate(runsHref());
  else {
    field.focus();
    field.select();
  }
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input:not([type=checkbox]), textarea, select');
}

function isModal(): boolean {
  return document.querySelector('dialog[open]') !== null;
}

/** The dialog with the shortcuts, while it is shown: once in the page. */
export function Shortcuts() {
  if (!isShown.value) return null;
  return (
    <Dialog title="Keyboard shortcuts" onClose={() => (isShown.value = false)}>
      {KEYS.map(([where, keys]) => (
        <section key={where} class="shortcuts">
          <h3>{where}</h3>
          <dl>
            {keys.map(([pressed, does]) => (
              <div key={does}>
                <dt>
                  {pressed.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </Dialog>
  );
}
