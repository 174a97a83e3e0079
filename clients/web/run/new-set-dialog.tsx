import { useSignal, type Signal } from '@preact/signals';
import { Button } from '../parts/button.js';
import { Dialog } from '../parts/dialog.js';
import { toast } from '../parts/toast.js';
import { useId } from 'preact/hooks';
import { explain } from '../connection/errors.js';
import { RowsChanged, type NewSet } from './result-sets.js';

/** Asks for the name and the description of a set, and makes it. */
export function NewSetDialog(props: {
  readonly title: string;
  readonly action: string;
  /** Names that are taken: a set of that name is replaced. */
  readonly existing: readonly string[];
  readonly onSave: (set: NewSet) => Promise<void>;
  readonly onClose: () => void;
}) {
  const { title, action, existing, onSave, onClose } = props;
  const name = useSignal('');
  const description = useSignal('');
  const failure = useSignal<string | undefined>(undefined);
  const isBusy = useSignal(false);
  const form = useId();
  const isTaken = existing.includes(name.value.trim());
  const save = async (event: Event) => {
    event.preventDefault();
    if (isBusy.peek() || name.value.trim() === '') return;
    isBusy.value = true;
    failure.value = undefined;
    try {
      await onSave({ name: name.value.trim(), description: description.value });
      toast(`The result set ${name.value.trim()} is saved.`);
      onClose();
    } catch (error) {
      failure.value = error instanceof RowsChanged ? error.message : explain(error).message;
    }
    isBusy.value = false;
  };
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <button class="button primary" type="submit" form={form}>
            {isTaken ? 'Replace' : action}
          </button>
        </>
      }
    >
      <form id={form} class="set-form" onSubmit={(event) => void save(event)}>
        <Name value={name} isTaken={isTaken} />
        <Description value={description} />
        {failure.value !== undefined && (
          <p class="form-error" role="alert">
            {failure.value}
          </p>
        )}
      </form>
    </Dialog>
  );
}

function Description({ value }: { readonly value: Signal<string> }) {
  return (
    <label class="field">
      <span>Description</span>
      <textarea
        rows={3}
        maxLength={4096}
        value={value.value}
        onInput={(event) => (value.value = event.currentTarget.value)}
      />
    </label>
  );
}

function Name({ value, isTaken }: { readonly value: Signal<string>; readonly isTaken: boolean }) {
  return (
    <label class="field">
      <span>Name</span>
      <input
        required
        maxLength={128}
        autoFocus
        value={value.value}
        onInput={(event) => (value.value = event.currentTarget.value)}
      />
      {isTaken && <small>There is a set of this name: it is replaced.</small>}
    </label>
  );
}
