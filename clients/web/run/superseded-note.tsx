import type { ComponentChildren } from 'preact';
import { Button } from '../parts/button.js';
import { Note } from './note.js';
import type { OpenRun } from './use-run.js';

/** Says so where a run is another by now, or none. */
export function SupersededNote(props: {
  /** What it is called at the beginning of a sentence. */
  readonly subject: ComponentChildren;
  readonly run: OpenRun;
  readonly onReload: () => void;
}) {
  const { subject, run, onReload } = props;
  const superseded = run.superseded.value;
  if (superseded === undefined) return null;
  if (superseded.case === 'deleted')
    return (
      <Note>
        <span>{subject} was deleted. What you see is what it was; result sets can't be saved any more.</span>
      </Note>
    );
  return (
    <Note>
      <span>
        {subject} was saved anew, as revision {String(superseded.revision)}. What you see is the revision before.
      </span>
      <Button kind="primary" icon="retry" onClick={onReload}>
        Reload
      </Button>
    </Note>
  );
}
