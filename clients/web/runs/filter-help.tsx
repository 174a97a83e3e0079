import { useSignal } from '@preact/signals';
import { Button } from '../parts/button.js';
import { Dialog } from '../parts/dialog.js';
import { ask } from './run-query.js';

const FIELDS: readonly (readonly [fields: string, what: string])[] = [
  ['key  description  upload_id', 'Text. In double quotes with * at the end: what begins so.'],
  ['problem  solver', 'Names, as text'],
  ['tags.NAME', 'The value of a tag; tags.NAME:* asks whether there is one'],
  ['best.NAME', 'Best feasible value of an objective'],
  ['row_count  size_bytes  revision', 'Numbers'],
  ['create_time  commit_time  update_time', 'A date, midnight in UTC, or a time as in RFC 3339'],
  ['outcome', 'FINISHED, FAILED, STOPPED, UNSPECIFIED'],
];

const EXAMPLES = [
  'solver = "pymoo NSGA2 0.6.1"',
  'key = "runs/beam/*" AND row_count >= 1000',
  'tags.team = wing AND NOT tags.kind = test',
  'best.cost < 2.5 AND outcome = FINISHED',
  'commit_time >= 2026-11-24 AND (problem = "welded beam" OR problem = bnh)',
];

/** A button that shows what filters look like. */
export function FilterHelp() {
  const isShown = useSignal(false);
  const close = () => (isShown.value = false);
  const use = (filter: string) => {
    close();
    ask({ filter });
  };
  return (
    <>
      <Button kind="quiet" onClick={() => (isShown.value = true)}>
        Syntax
      </Button>
      {isShown.value && (
        <Dialog title="Filters" onClose={close}>
          <table class="fields">
            <thead>
              <tr>
                <th scope="col">Fields</th>
                <th scope="col">What they hold</th>
              </tr>
            </thead>
            <tbody>
              {FIELDS.map(([fields, what]) => (
                <tr key={fields}>
                  <td class="mono">{fields}</td>
                  <td>{what}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <p>
            Compare with <code>= != &lt; &lt;= &gt; &gt;=</code>; join with <code>AND</code>, <code>OR</code>,{' '}
            <code>NOT</code> and parentheses.
          </p>
          <h3>Examples</h3>
          <ul class="examples">
            {EXAMPLES.map((filter) => (
              <li key={filter}>
                <button type="button" class="link mono" onClick={() => use(filter)}>
                  {filter}
                </button>
              </li>
            ))}
          </ul>
        </Dialog>
      )}
    </>
  );
}
