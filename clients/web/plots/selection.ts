import { computed, signal, type ReadonlySignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { isForPage } from '../shortcuts.js';

/** How a brush goes together with what is selected already. */
export type Change = 'replace' | 'add' | 'subtract';

/** How the keys that are held say it: Shift adds, Alt takes away. */
export function changeOf({ shiftKey, altKey }: { readonly shiftKey: boolean; readonly altKey: boolean }): Change {
  return shiftKey ? 'add' : altKey ? 'subtract' : 'replace';
}

/** The rows that are selected, one for all plots of a run. */
export class Selection {
  private readonly current = signal<Uint8Array | undefined>(undefined);
  /** What made it, such as the axes of a plot, whose brushes are then kept; another maker's are cleared. */
  readonly maker = signal<object | undefined>(undefined);

  /** A byte a row, 1 where it is selected; undefined while no row is. Never written to. */
  readonly mask: ReadonlySignal<Uint8Array | undefined> = this.current;
  /** Number of rows that are selected. */
  readonly count: ReadonlySignal<number> = computed(() => {
    let count = 0;
    for (const selected of this.current.value ?? []) count += selected;
    return count;
  });

  /** Selects the rows of a mask, or adds them to `base` or takes them from it: by default what is selected. */
  change(mask: Uint8Array, how: Change = 'replace', maker?: object, base = this.current.peek()): void {
    let isAny = false;
    const next = how === 'replace' || base === undefined ? mask.slice() : base.slice();
    if (how === 'subtract' && base === undefined) next.fill(0);
    for (let row = 0; row < next.length; row++) {
      if (how === 'add' && mask[row] === 1) next[row] = 1;
      else if (how === 'subtract' && mask[row] === 1) next[row] = 0;
      isAny ||= next[row] === 1;
    }
    this.maker.value = maker;
    this.current.value = isAny ? next : undefined;
  }

  /** Selects a row alone, or with Shift turns it over. */
  pick(row: number, rowCount: number, isTurned: boolean): void {
    const mask = new Uint8Array(rowCount);
    mask[row] = 1;
    const how = !isTurned ? 'replace' : this.current.peek()?.[row] === 1 ? 'subtract' : 'add';
    this.change(mask, how);
  }

  clear(maker?: object): void {
    this.maker.value = maker;
    this.current.value = undefined;
  }

  /** More rows came: those that were there keep their state. */
  grow(rowCount: number): void {
    const before = this.current.peek();
    if (before === undefined || before.length === rowCount) return;
    const next = new Uint8Array(rowCount);
    next.set(before.subarray(0, rowCount));
    this.current.value = next;
  }
}

/** Lets Esc clear a selection wherever the focus is, as long as the view is there that asks for it. */
export function useEscapeClears(selection: Selection): void {
  useEffect(() => {
    const clear = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && isForPage(event)) selection.clear();
    };
    addEventListener('keydown', clear);
    return () => removeEventListener('keydown', clear);
  }, [selection]);
}
