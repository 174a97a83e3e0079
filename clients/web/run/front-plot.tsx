import { useComputed } from '@preact/signals';
import { VariableRole } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { Scatter } from '../plots/scatter.js';
import { Scatter3d } from '../plots/scatter-3d.js';
import { objectivesOf } from './run-model.js';
import type { PlotColumn } from '../rows/plot-columns.js';
import { changeQuery, route } from '../route.js';
import { AxisChoice, NONE } from './axis-choice.js';
import { DesignCard } from './design-card.js';
import type { RunModel } from './run-model.js';

/** The objectives against each other, or any columns: the address remembers which. */
export function FrontPlot({ model }: { readonly model: RunModel }) {
  const columns = useComputed(() => model.plotted.value.columns).value;
  const { query } = route.value;
  const [first, second, third] = defaultAxes(columns);
  const named = (axis: string) => columns.find(({ name }) => name === query.get(axis));
  const x = named('x') ?? first;
  const y = named('y') ?? second;
  if (x === undefined || y === undefined) return <p class="muted">There is no column of numbers to plot.</p>;
  const isDefault = named('x') === undefined && named('y') === undefined;
  const z = query.get('z') === NONE ? undefined : (named('z') ?? (isDefault ? third : undefined));
  const card = (row: number) => <DesignCard rows={model.rows.value} classes={model.plotted.value.classes} row={row} />;
  const shared = { rows: model.plotted, selection: model.selection, card };
  const choose = (axis: string) => (name: string) => changeQuery({ [axis]: name }, { replace: true });
  const chooseAll = (axis: string) => (name: string) =>
    changeQuery({ x: x.name, y: y.name, z: z?.name ?? NONE, [axis]: name }, { replace: true });
  const axes = (
    <span class="axes">
      <AxisChoice axis="x" columns={columns} chosen={x.name} onChoose={chooseAll('x')} />
      <AxisChoice axis="y" columns={columns} chosen={y.name} onChoose={chooseAll('y')} />
      <AxisChoice axis="z" columns={columns} chosen={z?.name ?? NONE} onChoose={z ? choose('z') : chooseAll('z')} />
    </span>
  );
  return z === undefined ? (
    <Scatter {...shared} x={x.index} y={y.index}>
      {axes}
    </Scatter>
  ) : (
    <Scatter3d {...shared} axes={[x.index, y.index, z.index]}>
      {axes}
    </Scatter3d>
  );
}

/** The objectives; of a single one the generation or a design variable against it; else the first columns. */
function defaultAxes(columns: readonly PlotColumn[]): readonly (PlotColumn | undefined)[] {
  const objectives = objectivesOf(columns);
  if (objectives.length >= 2) return objectives.slice(0, 3);
  const design = columns.find(({ role }) => role === VariableRole.DESIGN_VARIABLE);
  const other = design ?? columns.find(({ role }) => role !== VariableRole.OBJECTIVE);
  if (objectives.length === 1) return [other ?? objectives[0], objectives[0]];
  return [columns[0], columns[1] ?? columns[0]];
}
