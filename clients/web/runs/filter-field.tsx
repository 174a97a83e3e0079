import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { OptistoreError } from '../../typescript/errors.js';
import { Button } from '../parts/button.js';
import { Icon } from '../parts/icon.js';
import { ask } from './run-query.js';

/** Where a filter can't be read, in UTF-16 units of its text. */
interface Mark {
  readonly at: number;
  readonly end: number;
}

/** The search: a filter in the language of docs/filter.md. What can't be read in it is marked where it stands. */
export function FilterField({
  filter,
  error,
}: {
  readonly filter: string;
  readonly error: OptistoreError | undefined;
}) {
  const text = useSignal(filter);
  const field = useRef<HTMLInputElement>(null);
  const behind = useRef<HTMLDivElement>(null);
  useEffect(() => {
    text.value = filter;
  }, [filter]);
  const mark = error?.reason === 'FILTER_INVALID' && text.value === filter ? markOf(filter, error) : undefined;
  const follow = () => {
    if (behind.current !== null && field.current !== null) behind.current.scrollLeft = field.current.scrollLeft;
  };
  const put = (value: string) => {
    text.value = value;
    ask({ filter: value.trim() });
  };
  const submit = (event: Event) => {
    event.preventDefault();
    put(text.value);
  };
  return (
    <form class={`filter ${mark === undefined ? '' : 'invalid'}`} role="search" onSubmit={submit}>
      <Icon name="search" />
      <div class="typed">
        <div ref={behind} class="behind" aria-hidden="true">
          {mark && <Marked text={filter} mark={mark} />}
        </div>
        <input
          ref={field}
          data-search
          type="text"
          value={text.value}
          placeholder="Filter, such as  tags.team = wing AND best.f1 < 3"
          aria-label="Filter"
          aria-invalid={mark !== undefined}
          aria-describedby={mark === undefined ? undefined : 'filter-error'}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          onInput={(event) => (text.value = event.currentTarget.value)}
          onScroll={follow}
          onKeyDown={(event) => {
            if (event.key !== 'Escape') return;
            if (text.value === filter) event.currentTarget.blur();
            else text.value = filter;
          }}
        />
      </div>
      {text.value !== '' && <Button kind="quiet" icon="close" label="Clear the filter" onClick={() => put('')} />}
    </form>
  );
}

function Marked({ text, mark: { at, end } }: { readonly text: string; readonly mark: Mark }) {
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, end) || ' '}</mark>
      {text.slice(end)}
    </>
  );
}

/** The word that stands where something else was expected. */
function markOf(filter: string, { metadata }: OptistoreError): Mark {
  // The daemon counts characters; a string here has two units for some of them.
  const before = Array.from(filter).slice(0, Number(metadata['position'])).join('');
  const word = /^(\w+|\S)?/u.exec(filter.slice(before.length))?.[0] ?? '';
  return { at: before.length, end: before.length + Math.max(1, word.length) };
}

/** Says what was expected where, and offers what was perhaps meant. */
export function FilterError({ filter, error }: { readonly filter: string; readonly error: OptistoreError }) {
  const { at, end } = markOf(filter, error);
  const found = filter.slice(at, end);
  const isWord = /^[\w./-]+$/.test(filter);
  return (
    <div id="filter-error" class="filter-error" role="alert">
      <p>
        <strong>The filter can’t be read</strong> at character {Number(error.metadata['position']) + 1}:{' '}
        {found === '' ? 'it ends' : <code>{found}</code>} where {error.metadata['expected'] ?? 'something else'} was
        expected.
      </p>
      {isWord && (
        <Button onClick={() => ask({ filter: `key = "${filter}*"` })}>
          Keys that begin with <code>{filter}</code>
        </Button>
      )}
    </div>
  );
}
