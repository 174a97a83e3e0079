import { useSignal, type Signal } from '@preact/signals';
import { Button } from '../parts/button.js';
import { Dialog } from '../parts/dialog.js';
import { titleOf, type PlotColumn } from '../rows/plot-columns.js';
import { roleName } from './run-model.js';

/** A button that asks which columns are shown. */
export function ColumnChoice(props: {
  readonly columns: readonly PlotColumn[];
  readonly chosen: Signal<readonly number[]>;
}) {
  const { columns, chosen } = props;
  const isOpen = useSignal(false);
  const sought = useSignal('');
  const close = () => (isOpen.value = false);
  const toggle = (index: number) => {
    const before = chosen.peek();
    chosen.value = before.includes(index) ? before.filter((one) => one !== index) : [...before, index];
  };
  const found = columns.filter(({ name }) => name.toLowerCase().includes(sought.value.toLowerCase()));
  return (
    <div class="tools">
      <Button onClick={() => (isOpen.value = true)}>
        {chosen.value.length} of {columns.length} columns
      </Button>
      {isOpen.value && (
        <Dialog
          title="Columns that are shown"
          onClose={close}
          actions={
            <>
              <Button onClick={() => (chosen.value = [])}>None</Button>
              <Button kind="primary" onClick={close}>
                Done
              </Button>
            </>
          }
        >
          {columns.length > 12 && (
            <input
              type="search"
              placeholder="Find a column"
              aria-label="Find a column"
              value={sought.value}
              onInput={(event) => (sought.value = event.currentTarget.value)}
            />
          )}
          <div class="column-list">
            {found.map((column) => (
              <label key={column.index} class="choice">
                <input
                  type="checkbox"
                  checked={chosen.value.includes(column.index)}
                  onChange={() => toggle(column.index)}
                />
                <span>{titleOf(column)}</span>
                <small class="muted">{roleName(column)}</small>
              </label>
            ))}
          </div>
        </Dialog>
      )}
    </div>
  );
}
