import type { ComponentChildren } from 'preact';
import { Button } from '../parts/button.js';
import { Dialog } from '../parts/dialog.js';

/** What is asked before an operation begins. */
export interface ActionDialogProps {
  readonly title: string;
  /** The act, as its button says it. */
  readonly action: string;
  readonly whyNot?: string | undefined;
  readonly children: ComponentChildren;
  readonly onStart: () => void;
  readonly onClose: () => void;
}

/** Asks how an operation is to be done, and says what it will do. */
export function ActionDialog({ title, action, whyNot, children, onStart, onClose }: ActionDialogProps) {
  const start = () => {
    onClose();
    onStart();
  };
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" whyNot={whyNot} onClick={start}>
            {action}
          </Button>
        </>
      }
    >
      {children}
    </Dialog>
  );
}

/** The beginning of the keys that are meant. */
export function PrefixField({
  value,
  onChange,
}: {
  readonly value: string;
  readonly onChange: (prefix: string) => void;
}) {
  return (
    <label class="field">
      <span>Keys that begin with</span>
      <input
        class="mono"
        type="text"
        value={value}
        placeholder="all keys"
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </label>
  );
}

/** One of some. */
export function ChoiceField<Value extends number>({
  label,
  value,
  options,
  onChange,
}: {
  readonly label: string;
  readonly value: Value;
  readonly options: readonly (readonly [value: Value, text: string])[];
  readonly onChange: (value: Value) => void;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(Number(event.currentTarget.value) as Value)}>
        {options.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Yes or no. */
export function CheckField({
  checked,
  disabled = false,
  children,
  onChange,
}: {
  readonly checked: boolean;
  readonly disabled?: boolean;
  readonly children: ComponentChildren;
  readonly onChange: (checked: boolean) => void;
}) {
  return (
    <label class="choice">
      <input
        type="checkbox"
        checked={checked}
        disabled={disabled}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <span>{children}</span>
    </label>
  );
}
