import { useSignal, type Signal } from '@preact/signals';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { Button } from '../parts/button.js';
import { formatCount, formatCounted } from '../parts/format.js';
import type { RunModel } from './run-model.js';
import { NewSetDialog } from './new-set-dialog.js';
import { saveSelection } from './result-sets.js';
import { RowClass } from '../../../server/rows/front/row-classes.js';

/** How many rows are selected, and what can be done with them. */
export function SelectionBar(props: {
  readonly model: RunModel;
  readonly save: Signal<Result> | undefined;
  /** How rows are selected in what is shown; undefined: not there. */
  readonly hint: string | undefined;
}) {
  const { model, save, hint } = props;
  const isNaming = useSignal(false);
  const { selection, plotted } = model;
  const count = selection.count.value;
  const { rowCount, counts } = plotted.value;
  const front = counts[RowClass.FRONT] ?? 0;
  const selectFront = () => selection.change(plotted.peek().classes.map((one) => (one === RowClass.FRONT ? 1 : 0)));
  return (
    <div class={`selection-bar ${count > 0 ? 'some' : ''}`}>
      <p role="status">
        {count > 0 ? (
          <>
            <b class="number">{formatCount(count)}</b> of {formatCounted(rowCount, 'row')} selected
          </>
        ) : (
          <span class="muted">{hint}</span>
        )}
      </p>
      <div class="actions">
        {front > 0 && <Button onClick={selectFront}>Select the front</Button>}
        {count > 0 && save && (
          <Button kind="primary" onClick={() => (isNaming.value = true)}>
            Save as result set
          </Button>
        )}
        {count > 0 && <Button onClick={() => selection.clear()}>Clear</Button>}
      </div>
      {isNaming.value && save && (
        <NewSetDialog
          title={`Save ${formatCounted(count, 'row')} as a result set`}
          action="Save"
          existing={save.value.resultSets.map(({ name }) => name)}
          onSave={(set) => {
            const mask = selection.mask.peek();
            return mask === undefined ? Promise.resolve() : saveSelection(save, model.rows.peek(), mask, set);
          }}
          onClose={() => (isNaming.value = false)}
        />
      )}
    </div>
  );
}
