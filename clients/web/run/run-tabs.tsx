import type { Signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { formatCount } from '../parts/format.js';
import { useEscapeClears } from '../plots/selection.js';
import { changeQuery, route } from '../route.js';
import { ConvergencePlots } from './convergence.js';
import { CorrelationTab } from './correlation-tab.js';
import { DistributionsTab } from './distributions-tab.js';
import { FrontPlot } from './front-plot.js';
import { ParallelTab } from './parallel-tab.js';
import { RowsTab } from './rows-tab.js';
import type { RunModel } from './run-model.js';
import { SelectionBar } from './selection-bar.js';

/** A view of a run. */
export interface Tab {
  /** As the address has it. */
  readonly name: string;
  readonly title: string;
  /** How many there are of what it shows. */
  readonly count?: number;
  /** How rows are selected in it, where they can be. */
  readonly hint?: string;
  readonly content: () => ComponentChildren;
}

/** The views of a run's rows, and `more` of them; the address remembers which one is shown. */
export function RunTabs(props: {
  readonly model: RunModel;
  /** Where a selection can be kept as a result set. */
  readonly save?: Signal<Result>;
  readonly more?: readonly Tab[];
}) {
  const { model, save, more = [] } = props;
  const id = useId();
  const first = overviewOf(model);
  const tabs = [first, ...tabsOf(model), ...more];
  const wanted = route.value.query.get('tab');
  const shown = tabs.find(({ name }) => name === wanted) ?? first;
  useEscapeClears(model.selection);
  const go = (name: string) => changeQuery({ tab: name === first.name ? undefined : name });
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(shown) + step + tabs.length) % tabs.length] ?? first;
    go(next.name);
    document.getElementById(`${id}-${next.name}`)?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label="Views of the run" onKeyDown={onKey}>
        {tabs.map(({ name, title, count }) => (
          <button
            key={name}
            id={`${id}-${name}`}
            type="button"
            role="tab"
            aria-selected={name === shown.name}
            aria-controls={`${id}-panel`}
            tabIndex={name === shown.name ? 0 : -1}
            onClick={() => go(name)}
          >
            {title}
            {count !== undefined && count > 0 && <span class="count">{formatCount(count)}</span>}
          </button>
        ))}
      </div>
      <SelectionBar model={model} save={save} hint={shown.hint} />
      <div id={`${id}-panel`} class="panel" role="tabpanel" aria-labelledby={`${id}-${shown.name}`}>
        {shown.content()}
      </div>
    </>
  );
}

const BY_DRAGS = 'Drag in any plot to select rows; Shift adds, Alt takes away, Esc clears.';
const ON_AXES = 'Drag on any axis to select rows; Esc clears.';
const BY_CLICKS = 'Click a row to select it; Shift all up to it, Ctrl one more, Esc clears.';

function overviewOf(model: RunModel): Tab {
  return { name: 'overview', title: 'Overview', hint: BY_DRAGS, content: () => <Overview model={model} /> };
}

function tabsOf(model: RunModel): Tab[] {
  return [
    { name: 'parallel', title: 'Parallel', hint: ON_AXES, content: () => <ParallelTab model={model} /> },
    {
      name: 'distributions',
      title: 'Distributions',
      hint: BY_DRAGS,
      content: () => <DistributionsTab model={model} />,
    },
    { name: 'correlation', title: 'Correlation', content: () => <CorrelationTab model={model} /> },
    { name: 'rows', title: 'Rows', hint: BY_CLICKS, content: () => <RowsTab model={model} /> },
  ];
}

function Overview({ model }: { readonly model: RunModel }) {
  const hasObjectives = model.goals.objectives.length > 0;
  return (
    <div class={`overview ${hasObjectives ? '' : 'single'}`}>
      <section class="card front-card" aria-label="Scatter">
        <FrontPlot model={model} />
      </section>
      {hasObjectives && (
        <section class="card convergence-card" aria-label="Convergence">
          <ConvergencePlots model={model} />
        </section>
      )}
    </div>
  );
}
