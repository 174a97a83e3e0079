import { computed, effect, signal, type ReadonlySignal } from '@preact/signals';

/** What was chosen: `auto` is the system's. */
export type Theme = 'auto' | 'light' | 'dark';

const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];
const STORED_AS = 'optistore.theme';

const chosen = signal<Theme>(stored());
const systemIsDark = matchMedia('(prefers-color-scheme: dark)');
const isSystemDark = signal(systemIsDark.matches);
systemIsDark.addEventListener('change', ({ matches }) => (isSystemDark.value = matches));

/** What is chosen. */
export const theme: ReadonlySignal<Theme> = chosen;

/** The scheme that holds now; what is drawn on a canvas is drawn anew when it changes. */
export const scheme: ReadonlySignal<'light' | 'dark'> = computed(() =>
  chosen.value === 'auto' ? (isSystemDark.value ? 'dark' : 'light') : chosen.value,
);

/** Goes on to the next theme, and keeps it in this browser. */
export function switchTheme(): void {
  chosen.value = THEMES[(THEMES.indexOf(chosen.value) + 1) % THEMES.length] ?? 'auto';
  try {
    localStorage.setItem(STORED_AS, chosen.value);
  } catch {
    // A browser that keeps nothing shows it until the page is closed.
  }
}

effect(() => {
  document.documentElement.dataset['theme'] = scheme.value;
});

function stored(): Theme {
  try {
    const text = localStorage.getItem(STORED_AS);
    return THEMES.find((name) => name === text) ?? 'auto';
  } catch {
    return 'auto';
  }
}
