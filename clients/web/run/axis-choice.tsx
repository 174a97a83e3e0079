import { VariableRole } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { titleOf, type PlotColumn } from '../rows/plot-columns.js';

/** What a third axis is called where there is none. */
export const NONE = '-';

const GROUPS: readonly [VariableRole, string][] = [
  [VariableRole.OBJECTIVE, 'Objectives'],
  [VariableRole.DESIGN_VARIABLE, 'Design variables'],
  [VariableRole.INEQUALITY_CONSTRAINT, 'Inequality constraints'],
  [VariableRole.EQUALITY_CONSTRAINT, 'Equality constraints'],
  [VariableRole.OBSERVABLE, 'Observables'],
];

/** Asks which column an axis has, by roles. */
export function AxisChoice(props: {
  readonly axis: 'x' | 'y' | 'z';
  readonly columns: readonly PlotColumn[];
  readonly chosen: string;
  readonly onChoose: (name: string) => void;
}) {
  const { axis, columns, chosen, onChoose } = props;
  return (
    <label class="axis-choice">
      <span>{axis}</span>
      <select value={chosen} onChange={(event) => onChoose(event.currentTarget.value)}>
        {axis === 'z' && <option value={NONE}>–</option>}
        {GROUPS.map(([role, title]) => {
          const ofRole = columns.filter((column) => column.role === role);
          return (
            ofRole.length > 0 && (
              <optgroup key={title} label={title}>
                {ofRole.map((column) => (
                  <option key={column.name} value={column.name}>
                    {titleOf(column)}
                  </option>
                ))}
              </optgroup>
            )
          );
        })}
      </select>
    </label>
  );
}
