import { signal } from '@preact/signals';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { Scope } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { hasSecondary, whyNot } from '../connection/status.js';
import { Menu, type MenuItem } from '../parts/menu.js';
import { toast } from '../parts/toast.js';
import { navigate, runHref } from '../route.js';
import { MigrateDialog } from '../status/migrate-dialog.js';
import { deleteRuns } from './delete-runs.js';

/** The run whose move is asked about. */
const moving = signal<string | undefined>(undefined);

/** What can be done with a run. */
export function RunMenu({ result }: { readonly result: Result }) {
  const { key } = result;
  const mayNotWrite = whyNot(Scope.WRITE, key);
  const items: MenuItem[] = [
    { text: 'Open', icon: 'right', onChoose: () => navigate(runHref(key)) },
    { text: 'Copy the key', icon: 'copy', onChoose: () => void copyKey(key) },
  ];
  if (hasSecondary.value)
    items.push({
      text: 'Migrate…',
      icon: 'move',
      whyNot: mayNotWrite,
      onChoose: () => (moving.value = key),
    });
  items.push({
    ...{ text: 'Delete…', icon: 'trash', isDanger: true, whyNot: mayNotWrite },
    onChoose: () => void deleteRuns([result]),
  });
  return <Menu label={`Actions for ${key}`} items={items} />;
}

/** The dialog of the move that is asked about: once in the view. */
export function MovingRun() {
  if (moving.value === undefined) return null;
  return <MigrateDialog runKey={moving.value} onClose={() => (moving.value = undefined)} />;
}

async function copyKey(key: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(key);
    toast(`Copied: ${key}`);
  } catch {
    // A page that is not on this machine, and not by TLS, has no clipboard.
    toast(`The browser does not let this page copy. The key is ${key}`, { isError: true });
  }
}
