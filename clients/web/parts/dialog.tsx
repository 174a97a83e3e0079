import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { Button } from './button.js';

/** What a dialog shows. */
export interface DialogProps {
  readonly title: string;
  readonly children: ComponentChildren;
  /** Its buttons, at the bottom right. */
  readonly actions?: ComponentChildren;
  readonly isWide?: boolean;
  /** Called when it is to be closed: by Esc, by the ×. */
  readonly onClose: () => void;
}

/** A modal dialog; the browser keeps the focus in it, and gives it back. */
export function Dialog({ title, children, actions, isWide = false, onClose }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    // What is filled in first; where nothing is, what changes nothing.
    const first = shown?.querySelector<HTMLElement>('.body :is(input, select, textarea)');
    (first ?? shown?.querySelector<HTMLElement>('footer button'))?.focus();
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={`dialog ${isWide ? 'wide' : ''}`}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={titleId}>{title}</h2>
        <Button kind="quiet" icon="close" label="Close" onClick={onClose} />
      </header>
      {/* Where it is higher than the window it scrolls: by the keyboard too. */}
      <div class="body" tabIndex={0}>
        {children}
      </div>
      {actions && <footer>{actions}</footer>}
    </dialog>
  );
}

/** What is asked before something is done. */
export interface Question {
  readonly title: string;
  /** What goes, or what it leads to, by name. */
  readonly body: ComponentChildren;
  /** What the button says: the act, such as `Delete 3 results`. */
  readonly action: string;
  readonly isDanger?: boolean;
}

const asked = signal<(Question & { readonly answer: (yes: boolean) => void }) | undefined>(undefined);

/** Asks whether something is to be done; `<Questions />` shows it. */
export function confirm(question: Question): Promise<boolean> {
  return new Promise((resolve) => {
    asked.peek()?.answer(false);
    asked.value = {
      ...question,
      answer: (yes) => {
        asked.value = undefined;
        resolve(yes);
      },
    };
  });
}

/** Where questions are shown: once in the page. */
export function Questions() {
  const question = asked.value;
  if (question === undefined) return null;
  const { title, body, action, isDanger = false, answer } = question;
  return (
    <Dialog
      title={title}
      onClose={() => answer(false)}
      actions={
        <>
          <Button onClick={() => answer(false)}>Cancel</Button>
          <Button kind={isDanger ? 'danger' : 'primary'} onClick={() => answer(true)}>
            {action}
          </Button>
        </>
      }
    >
      {body}
    </Dialog>
  );
}
