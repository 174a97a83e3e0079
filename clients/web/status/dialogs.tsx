import { useSignal } from '@preact/signals';
import { Backend } from '../../../proto/gen/optistore/v1/result_pb.js';
import { hasSecondary, status } from '../connection/status.js';
import { ActionDialog, CheckField, ChoiceField, PrefixField } from './action-dialog.js';
import { BACKEND_NAMES, startMigrateStore, startReplicate, startVerify } from './actions.js';

interface DialogProps {
  readonly onClose: () => void;
}

/** Asks what is to be verified, and whether it is repaired. */
export function VerifyDialog({ onClose }: DialogProps) {
  const prefix = useSignal(status.peek()?.caller?.prefix ?? '');
  const backend = useSignal(Backend.UNSPECIFIED);
  const repair = useSignal(false);
  const places = [Backend.UNSPECIFIED, Backend.PRIMARY, ...(hasSecondary.value ? [Backend.SECONDARY] : [])];
  return (
    <ActionDialog
      title="Verify results"
      action={repair.value ? 'Verify and repair' : 'Verify'}
      onStart={() => startVerify({ prefix: prefix.value, backend: backend.value, repair: repair.value })}
      onClose={onClose}
    >
      <PrefixField value={prefix.value} onChange={(text) => (prefix.value = text)} />
      <ChoiceField
        label="In"
        value={backend.value}
        options={places.map((place) => [place, BACKEND_NAMES[place]])}
        onChange={(place) => (backend.value = place)}
      />
      <CheckField
        checked={repair.value}
        disabled={!hasSecondary.value}
        onChange={(checked) => (repair.value = checked)}
      >
        Repair what is corrupt or missing from the other store’s copy
        {!hasSecondary.value && ' (there is no other store)'}
      </CheckField>
      <p class="muted">Reads every byte again, past the cache, and checks it against its checksums.</p>
    </ActionDialog>
  );
}

/** Asks what is to be copied to the secondary. */
export function ReplicateDialog({ onClose }: DialogProps) {
  const prefix = useSignal(status.peek()?.caller?.prefix ?? '');
  return (
    <ActionDialog
      title="Replicate results"
      action="Replicate"
      onStart={() => startReplicate(prefix.value)}
      onClose={onClose}
    >
      <PrefixField value={prefix.value} onChange={(text) => (prefix.value = text)} />
      <p class="muted">
        Copies to the secondary what it lacks: results and deletions that were never replicated, or whose copy failed.
        From then on all changes of these keys are replicated.
      </p>
    </ActionDialog>
  );
}

/** Says what migrating the store does. */
export function MigrateStoreDialog({ onClose }: DialogProps) {
  return (
    <ActionDialog title="Migrate the store" action="Migrate the store" onStart={startMigrateStore} onClose={onClose}>
      <p>
        Copies everything from the primary to the secondary, deletions included, while the daemon serves. Nothing is
        removed from the primary.
      </p>
      <p class="muted">
        Until the daemon stops, every change then goes to both, so that the two can be swapped in the configuration:
        docs/migration.md has the steps. The same again goes on where it was cancelled.
      </p>
    </ActionDialog>
  );
}
