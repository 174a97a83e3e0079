import type { RunModel } from './run-model.js';

export function DistributionsTab({ model }: { readonly model: RunModel }) {
  return <p>{model.rows.value.rowCount}</p>;
}
