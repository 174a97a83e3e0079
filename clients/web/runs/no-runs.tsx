import { Button } from '../parts/button.js';
import { Empty } from '../parts/states.js';
import { toast } from '../parts/toast.js';
import { ask, type RunQuery } from './run-query.js';

const FIRST_SAVE = 'npx optistore save runs/beam examples/welded_beam.csv --problem examples/welded_beam.problem.json';
const FROM_PYTHON = `with optistore.connect() as client:
    with client.save("runs/sphere", [optistore.design_variable("x", -5, 5), optistore.objective("f")]) as run:
        run.append({"x": x, "f": x**2})`;

/** There is nothing at all: how a first run is saved. */
export function NoRuns() {
  const copy = () => {
    navigator.clipboard.writeText(FIRST_SAVE).then(
      () => toast('Copied.'),
      () => toast('The browser does not let this page copy.', { isError: true }),
    );
  };
  return (
    <Empty title="No runs yet">
      <p>Save one of the examples, and it appears here by itself:</p>
      <pre class="command" tabIndex={0}>
        <code>{FIRST_SAVE}</code>
      </pre>
      <Button icon="copy" onClick={copy}>
        Copy the command
      </Button>
      <p>Or from Python, while the solver runs:</p>
      <pre tabIndex={0}>
        <code>{FROM_PYTHON}</code>
      </pre>
    </Empty>
  );
}

/** There is nothing that is asked for. */
export function NoMatch({ query: { filter, prefix } }: { readonly query: RunQuery }) {
  return (
    <Empty title="No run matches">
      <p>
        {filter !== '' && (
          <>
            No run for which <code>{filter}</code> holds
          </>
        )}
        {filter === '' && 'No run'}
        {prefix !== '' && (
          <>
            {' '}
            has a key that begins with <code>{prefix}</code>
          </>
        )}
        .
      </p>
      <Button onClick={() => ask({ filter: '', prefix: '' })}>Show all runs</Button>
    </Empty>
  );
}
