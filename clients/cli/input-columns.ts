import type { Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { InputError } from './input-error.js';

/** Where each of the problem's variables is among the columns of an input. InputError where they are not the same. */
export function placesOf(names: readonly string[], { variables }: Problem, what: 'Arrow' | 'Parquet'): number[] {
  const extra = names.find((name) => !variables.some((variable) => variable.name === name));
  if (extra !== undefined) {
    const hint = extra.startsWith('__index')
      ? ` (pandas writes its index so: ${what === 'Arrow' ? 'preserve_index' : 'index'}=False)`
      : '';
    throw new InputError(
      `The ${what} input has the column "${extra}", which the problem has not${hint}. Add it there as a variable with VARIABLE_ROLE_OBSERVABLE, or take it out.`,
    );
  }
  if (new Set(names).size !== names.length) throw new InputError(`The ${what} input names a column twice.`);
  return variables.map(({ name }) => {
    const place = names.indexOf(name);
    if (place < 0) throw new InputError(`The ${what} input has no column "${name}", which the problem has.`);
    return place;
  });
}
