import { useEffect, useRef } from 'preact/hooks';
import type { OptistoreError } from '../../typescript/errors.js';
import { FilterError, FilterField } from './filter-field.js';
import { FilterHelp } from './filter-help.js';
import { ask, SORTS, type RunQuery, type Sort } from './run-query.js';

const TYPED_FOR_MS = 250;

/** What is shown, and in which order. */
export function Toolbar({ query, error }: { readonly query: RunQuery; readonly error: OptistoreError | undefined }) {
  return (
    <div class="toolbar">
      <FilterField filter={query.filter} error={error} />
      <FilterHelp />
      <PrefixField prefix={query.prefix} />
      <label class="sort">
        <span class="unseen">Order</span>
        <select value={query.sort} onChange={(event) => ask({ sort: event.currentTarget.value as Sort })}>
          {Object.entries(SORTS).map(([sort, text]) => (
            <option key={sort} value={sort}>
              {text}
            </option>
          ))}
        </select>
      </label>
      {error?.reason === 'FILTER_INVALID' && <FilterError filter={query.filter} error={error} />}
    </div>
  );
}

function PrefixField({ prefix }: { readonly prefix: string }) {
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    // Not while someone types: that is ahead of the address.
    if (field.current !== null && field.current !== document.activeElement) field.current.value = prefix;
  }, [prefix]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const typed = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => ask({ prefix: field.current?.value ?? '' }, true), TYPED_FOR_MS);
  };
  return (
    <input
      ref={field}
      class="prefix mono"
      type="text"
      defaultValue={prefix}
      placeholder="Key begins with…"
      aria-label="Beginning of the key"
      spellcheck={false}
      autocomplete="off"
      autocapitalize="off"
      onInput={typed}
    />
  );
}
