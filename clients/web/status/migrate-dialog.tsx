import { useSignal } from '@preact/signals';
import { Backend } from '../../../proto/gen/optistore/v1/result_pb.js';
import { hasSecondary, status } from '../connection/status.js';
import { ActionDialog, CheckField, ChoiceField, PrefixField } from './action-dialog.js';
import { BACKEND_NAMES, startMigrate, type Migration } from './actions.js';

/** Asks which results go from where to where: one, or all that begin with something. */
export function MigrateDialog({ runKey, onClose }: { readonly runKey?: string; readonly onClose: () => void }) {
  const prefix = useSignal(status.peek()?.caller?.prefix ?? '');
  const from = useSignal(Backend.PRIMARY);
  const to = useSignal(hasSecondary.peek() ? Backend.SECONDARY : Backend.CACHE);
  const keeps = useSignal(true);
  // Memory takes copies alone.
  const mustKeep = to.value === Backend.CACHE;
  const keepSource = keeps.value || mustKeep;
  const all = prefix.value === '' ? ({ all: true } as const) : { prefix: prefix.value };
  const which: Migration['which'] = runKey === undefined ? all : { key: runKey };
  const places = [Backend.PRIMARY, ...(hasSecondary.value ? [Backend.SECONDARY] : []), Backend.CACHE];
  const options = places.map((place) => [place, BACKEND_NAMES[place]] as const);
  return (
    <ActionDialog
      title={runKey === undefined ? 'Migrate results' : `Migrate "${runKey}"`}
      action={keepSource ? 'Copy' : 'Move'}
      whyNot={from.value === to.value ? 'From and to are the same.' : undefined}
      onStart={() => startMigrate({ which, from: from.value, to: to.value, keepSource })}
      onClose={onClose}
    >
      {runKey === undefined && <PrefixField value={prefix.value} onChange={(text) => (prefix.value = text)} />}
      <div class="pair">
        <ChoiceField label="From" value={from.value} options={options} onChange={(place) => (from.value = place)} />
        <ChoiceField label="To" value={to.value} options={options} onChange={(place) => (to.value = place)} />
      </div>
      <CheckField checked={keepSource} disabled={mustKeep} onChange={(checked) => (keeps.value = checked)}>
        Keep the source
      </CheckField>
      <p class="muted">
        {keepSource
          ? 'Each copy is read again and checked.'
          : `Each copy is read again and checked before it is removed from the ${BACKEND_NAMES[from.value]}. Loads and lists find it as before.`}{' '}
        It can be cancelled, and goes on where it stopped when it is begun again.
      </p>
    </ActionDialog>
  );
}
