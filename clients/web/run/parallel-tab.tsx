import { useSignal } from '@preact/signals';
import { firstAxes, Parallel } from '../plots/parallel.js';
import { ColumnChoice } from './column-choice.js';
import type { RunModel } from './run-model.js';

const AXES_MAX = 12;

/** Parallel coordinates of the columns that are chosen. */
export function ParallelTab({ model }: { readonly model: RunModel }) {
  const axes = useSignal(firstAxes(model.plotted.peek().columns, AXES_MAX));
  return (
    <section class="card parallel-card" aria-label="Parallel coordinates">
      <div class="plot-tools">
        <p class="muted">
          Drag on an axis to select by its values, drag the brush to move it, click to clear it. Click a name to turn
          its axis over.
        </p>
        <ColumnChoice columns={model.plotted.value.columns} chosen={axes} />
      </div>
      <Parallel rows={model.plotted} axes={axes} selection={model.selection} />
    </section>
  );
}
