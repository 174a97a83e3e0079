import { Direction, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { RowClass } from '../../../server/rows/front/row-classes.js';
import type { Convergence } from '../analysis/convergence.js';
import { formatCount, formatNumber } from '../parts/format.js';
import { MarkSign } from '../plots/legend.js';
import { Tag } from '../parts/tag.js';
import type { Mark } from '../plots/marks.js';
import { titleOf } from '../rows/plot-columns.js';
import { runHref } from '../route.js';
import type { ComparedRun } from './comparison.js';
import type { Shared } from './shared.js';

/** What each run came to: its best values, and its hypervolume within a box that is one for all. The best of all runs is marked. */
export function RunsTable(props: {
  readonly runs: readonly ComparedRun[];
  readonly shared: Shared;
  readonly marks: readonly Mark[];
  readonly convergences: readonly Convergence[] | undefined;
  readonly isSame: boolean;
}) {
  const { runs, shared, marks, convergences, isSame } = props;
  const bests = shared.objectives.map((variable) => ({ variable, values: runs.map((run) => bestOf(run, variable)) }));
  const volumes = runs.map((_, i) => (isSame ? convergences?.[i]?.hypervolume?.at(-1) : undefined));
  const box = isSame ? convergences?.find(({ hypervolume }) => hypervolume !== undefined) : undefined;
  return (
    <section class="card" aria-label="Results">
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Table of the runs">
        <table>
          <Head objectives={shared.objectives} hasVolume={box !== undefined} />
          <tbody>
            {runs.map((run, i) => (
              <tr key={run.key}>
                <td>
                  <a class="run-name mono" href={runHref(run.key)}>
                    {marks[i] && <MarkSign {...marks[i]} />} {run.key}
                  </a>
                  <span class="tags">
                    {different(run, runs).map(([name, value]) => (
                      <Tag key={name} name={name} value={value} />
                    ))}
                  </span>
                </td>
                <td class="number">{formatCount(run.result.value.rowCount)}</td>
                <td class="number">{formatCount(run.model.plotted.value.counts[RowClass.FRONT] ?? 0)}</td>
                {bests.map(({ variable, values }) => (
                  <BestCell
                    key={variable.name}
                    value={values[i]}
                    all={values}
                    isLargerBetter={variable.direction === Direction.MAXIMIZE}
                  />
                ))}
                {box && <BestCell value={volumes[i]} all={volumes} isLargerBetter />}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {box && (
        <p class="muted reference">
          Hypervolume: the share of the box from {point(box.ideal)} to the reference point {point(box.reference)}, a
          tenth behind the worst values of all fronts, that is dominated{box.ideal.length >= 4 && ', estimated'}.
        </p>
      )}
    </section>
  );
}

function Head({ objectives, hasVolume }: { readonly objectives: readonly Variable[]; readonly hasVolume: boolean }) {
  return (
    <thead>
      <tr>
        <th>Run</th>
        <th class="number">Rows</th>
        <th class="number">Front</th>
        {objectives.map((variable) => (
          <th key={variable.name} class="number">
            best {titleOf(variable)} {variable.direction === Direction.MAXIMIZE ? '↑' : '↓'}
          </th>
        ))}
        {hasVolume && <th class="number">hypervolume</th>}
      </tr>
    </thead>
  );
}

function BestCell(props: {
  readonly value: number | undefined;
  readonly all: readonly (number | undefined)[];
  readonly isLargerBetter: boolean;
}) {
  const { value, all, isLargerBetter } = props;
  const known = all.filter((one) => one !== undefined);
  const best = isLargerBetter ? Math.max(...known) : Math.min(...known);
  // Where all are equal none is marked.
  const isBest = value === best && known.some((one) => one !== best);
  const text = value === undefined ? '–' : formatNumber(value, 6);
  return <td class="number">{isBest ? <strong title="The best of these runs">{text}</strong> : text}</td>;
}

function bestOf({ result }: ComparedRun, { name }: Variable): number | undefined {
  return result.value.columns.find((column) => column.name === name)?.best;
}

/** The tags of a run that not all runs have: by them it is known. */
function different(run: ComparedRun, runs: readonly ComparedRun[]): [name: string, value: string][] {
  const isShared = ([name, value]: [string, string]) => runs.every(({ result }) => result.value.tags[name] === value);
  return Object.entries(run.result.value.tags).filter((tag) => !isShared(tag));
}

function point(values: readonly number[]): string {
  return `(${values.map((value) => formatNumber(value, 4)).join(', ')})`;
}
