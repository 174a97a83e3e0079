import { useEffect } from 'preact/hooks';
import { Scope } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { whyNot } from '../connection/status.js';
import { Button } from '../parts/button.js';
import { formatCount } from '../parts/format.js';
import { COMPARED_MAX, compareHref, navigate } from '../route.js';
import { deleteRuns } from './delete-runs.js';
import { clearSelection, selection } from './selection.js';

/** What can be done with the runs that are selected. */
export function SelectionBar() {
  useSelectionKeys();
  const count = selection.value.size;
  if (count === 0) return null;
  return (
    <div class="chosen-bar" role="region" aria-label="Selection">
      <strong>{formatCount(count)} selected</strong>
      <Button kind="primary" icon="compare" whyNot={whyNotCompared()} onClick={compare}>
        Compare
      </Button>
      <Button icon="trash" whyNot={whyNotDeleted()} onClick={remove}>
        Delete…
      </Button>
      <Button kind="quiet" icon="close" onClick={clearSelection}>
        Clear
      </Button>
    </div>
  );
}

function whyNotCompared(): string | undefined {
  const { size } = selection.value;
  if (size < 2) return 'Select two runs or more.';
  return size > COMPARED_MAX ? `At most ${COMPARED_MAX} runs are compared.` : undefined;
}

function whyNotDeleted(): string | undefined {
  for (const key of selection.value.keys()) {
    const reason = whyNot(Scope.WRITE, key);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function compare(): void {
  if (whyNotCompared() === undefined) navigate(compareHref([...selection.value.keys()]));
}

function remove(): void {
  if (selection.value.size > 0 && whyNotDeleted() === undefined) void deleteRuns([...selection.value.values()]);
}

function useSelectionKeys(): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') !== null) return;
      if (event.target instanceof HTMLElement && event.target.matches('input:not([type=checkbox]), select')) return;
      if (event.key === 'c') compare();
      else if (event.key === 'Delete') remove();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}
