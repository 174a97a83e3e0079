import { useSignal } from '@preact/signals';
import { SetOperation, type ResultSet } from '../../../proto/gen/optistore/v1/result_pb.js';
import { Button } from '../parts/button.js';
import { confirm } from '../parts/dialog.js';
import { formatCount, formatCounted } from '../parts/format.js';
import { Empty } from '../parts/states.js';
import { RelativeTime } from '../parts/time.js';
import { toast } from '../parts/toast.js';
import { explain } from '../connection/errors.js';
import { changeQuery } from '../route.js';
import { NewSetDialog } from './new-set-dialog.js';
import { combineSets, deleteSet, RowsChanged, rowsOfSet } from './result-sets.js';
import type { OpenRun } from './use-run.js';

const OPERATIONS = [
  [SetOperation.UNION, 'Union', '∪'],
  [SetOperation.INTERSECTION, 'Intersection', '∩'],
  [SetOperation.DIFFERENCE, 'Difference', '∖'],
] as const;

/** The named subsets of the rows: shown in all plots, joined by operations, removed. */
export function SetsTab({ run }: { readonly run: OpenRun }) {
  // In the order in which they were chosen: the first is what a difference takes the others from.
  const chosen = useSignal<readonly string[]>([]);
  const combining = useSignal<SetOperation | undefined>(undefined);
  const { result } = run;
  const sets = result.value.resultSets;
  const names = chosen.value.filter((name) => sets.some((set) => set.name === name));
  if (sets.length === 0)
    return (
      <Empty title="This run has no result sets yet">
        <p>
          Select rows in any plot or in the table, and save them under a name: to look at them later, or to load them in
          a program.
        </p>
      </Empty>
    );
  const toggle = (name: string) =>
    (chosen.value = names.includes(name) ? names.filter((one) => one !== name) : [...names, name]);
  const whyNot = names.length < 2 ? 'Choose two sets or more' : undefined;
  const operation = OPERATIONS.find(([one]) => one === combining.value);
  return (
    <section class="card sets" aria-label="Result sets">
      <div class="plot-tools">
        <h2>Result sets</h2>
        <div class="tools">
          {OPERATIONS.map(([one, title, sign]) => (
            <Button key={title} whyNot={whyNot} onClick={() => (combining.value = one)}>
              {sign} {title}
            </Button>
          ))}
        </div>
      </div>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Table of result sets">
        <table>
          <SetsHead />
          <tbody>
            {sets.map((set) => (
              <SetRow
                key={set.name}
                run={run}
                set={set}
                place={names.indexOf(set.name)}
                onToggle={() => toggle(set.name)}
              />
            ))}
          </tbody>
        </table>
      </div>
      {operation && (
        <NewSetDialog
          title={`${operation[1]} of ${names.join(` ${operation[2]} `)}`}
          action="Save"
          existing={sets.map(({ name }) => name)}
          onSave={(set) => combineSets(result, operation[0], names, set)}
          onClose={() => (combining.value = undefined)}
        />
      )}
    </section>
  );
}

function SetsHead() {
  return (
    <thead>
      <tr>
        <th>
          <span class="unseen">Chosen</span>
        </th>
        <th>Name</th>
        <th class="number">Rows</th>
        <th class="aside">Made of</th>
        <th class="aside">By</th>
        <th class="aside">When</th>
        <th>
          <span class="unseen">What can be done</span>
        </th>
      </tr>
    </thead>
  );
}

function SetRow(props: {
  readonly run: OpenRun;
  readonly set: ResultSet;
  /** Among those that are chosen; −1: it is not. */
  readonly place: number;
  readonly onToggle: () => void;
}) {
  const { run, set, place, onToggle } = props;
  const when = <RelativeTime at={set.createTime} />;
  return (
    <tr class={place >= 0 ? 'chosen' : ''}>
      <td>
        <label class="choice">
          <input type="checkbox" aria-label={`Choose ${set.name}`} checked={place >= 0} onChange={onToggle} />
          {place >= 0 && <span class="muted number">{place + 1}</span>}
        </label>
      </td>
      <td>
        <b class="mono">{set.name}</b>
        {set.description && <p class="muted">{set.description}</p>}
        <p class="brief muted">
          {originOf(set)} · {set.createdBy && <>{set.createdBy} · </>}
          {when}
        </p>
      </td>
      <td class="number">{formatCount(set.rowCount)}</td>
      <td class="aside">{originOf(set)}</td>
      <td class="aside muted">{set.createdBy}</td>
      <td class="aside">{when}</td>
      <td class="actions">
        <Button onClick={() => void show(run, set.name)}>Show</Button>
        <Button kind="quiet" icon="trash" label={`Delete ${set.name}`} onClick={() => void remove(run, set)} />
      </td>
    </tr>
  );
}

function originOf({ operation, parents }: ResultSet): string {
  const found = OPERATIONS.find(([one]) => one === operation);
  return found === undefined ? 'rows' : parents.join(` ${found[2]} `);
}

async function show({ model, result }: OpenRun, name: string): Promise<void> {
  try {
    const { mask, rowCount } = await rowsOfSet(result.peek(), model.rows.peek(), name, AbortSignal.timeout(60_000));
    model.selection.change(mask);
    const here = model.selection.count.peek();
    if (here < rowCount)
      toast(`${formatCount(here)} of the ${formatCounted(rowCount, 'row')} of ${name} are in the sample.`);
    // Where they are seen; Back leads to the sets again.
    changeQuery({ tab: undefined });
  } catch (error) {
    toast(explain(error).message, { isError: true });
  }
}

async function remove({ result }: OpenRun, { name, rowCount }: ResultSet): Promise<void> {
  const isWanted = await confirm({
    title: `Delete the set ${name}?`,
    body: <p>Its {formatCounted(rowCount, 'row')} will still be in the run; the set of this name is gone.</p>,
    action: 'Delete the set',
    isDanger: true,
  });
  if (!isWanted) return;
  try {
    await deleteSet(result, name);
    toast(`The set ${name} is deleted.`);
  } catch (error) {
    toast(error instanceof RowsChanged ? error.message : explain(error).message, { isError: true });
  }
}
