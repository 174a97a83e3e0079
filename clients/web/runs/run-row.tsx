import { Fragment } from 'preact';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { hasSecondary } from '../connection/status.js';
import { formatBytes, formatCount, formatCounted } from '../parts/format.js';
import { Tag } from '../parts/tag.js';
import { RelativeTime } from '../parts/time.js';
import { runHref } from '../route.js';
import { Bests } from './bests.js';
import { fieldFilter, tagFilter } from './filter-text.js';
import { narrow } from './run-query.js';
import { RunMenu } from './run-menu.js';
import { OutcomeBadge } from './run-state.js';
import { Secondary } from './secondary.js';

/** What a row of the table shows. */
export interface RunRowProps {
  readonly result: Result;
  readonly isSelected: boolean;
  readonly isFresh: boolean;
  /** The one that Tab goes to; arrows go to the others. */
  readonly isCurrent: boolean;
  /** Whether times are those of the last change. */
  readonly showsUpdates: boolean;
  readonly onToggle: (isRange: boolean) => void;
}

const TAGS_MAX = 4;
/** By these `optistore import` finds what it has imported before: checksums and paths tell little beside a run's own tags. */
const IMPORT_TAGS = 'import.';

/** A run. */
export function RunRow({ result, isSelected, isFresh, isCurrent, showsUpdates, onToggle }: RunRowProps) {
  const { key, rowCount, sizeBytes, commitTime, updateTime } = result;
  const time = <RelativeTime at={showsUpdates ? updateTime : commitTime} />;
  const tabIndex = isCurrent ? 0 : -1;
  return (
    <tr class={`${isSelected ? 'selected' : ''} ${isFresh ? 'fresh' : ''}`} data-key={key}>
      <td class="choose">
        <input
          type="checkbox"
          checked={isSelected}
          tabIndex={tabIndex}
          aria-label={`Select ${key}`}
          // A click changes nothing by itself: what is selected is the page's.
          onClick={(event) => onToggle(event.shiftKey)}
        />
      </td>
      <td class="key">
        <a class="mono" href={runHref(key)} tabIndex={tabIndex}>
          <BreakableKey text={key} />
        </a>
        <span class="brief muted">
          <OutcomeBadge outcome={result.outcome} /> · {formatCounted(rowCount, 'row')} · {formatBytes(sizeBytes)} ·{' '}
          {time}
        </span>
        <span class="brief">
          <Bests result={result} />
        </span>
      </td>
      <td class="outcome">
        <OutcomeBadge outcome={result.outcome} />
      </td>
      <td class="problem">
        <Name field="problem" text={result.problem?.name ?? ''} />
        <Name field="solver" text={result.problem?.solver ?? ''} />
      </td>
      <td class="number rows">{formatCount(rowCount)}</td>
      <td class="best">
        <Bests result={result} />
      </td>
      <td class="number size">{formatBytes(sizeBytes)}</td>
      <td class="when">{time}</td>
      <td class="tags">
        <Tags tags={result.tags} />
      </td>
      {hasSecondary.value && (
        <td class="replication">
          <Secondary result={result} />
        </td>
      )}
      <td class="actions">
        <RunMenu result={result} />
      </td>
    </tr>
  );
}

/** A part of a key that is longer may be broken anywhere. */
const SEGMENT_LENGTH_MAX = 32;

/** A key, which is broken behind its slashes where it has to be. */
function BreakableKey({ text }: { readonly text: string }) {
  return (
    <>
      {text.split(/(?<=\/)/).map((segment, i) => (
        <Fragment key={i}>
          {i > 0 && <wbr />}
          <span class={segment.length <= SEGMENT_LENGTH_MAX ? 'segment' : undefined}>{segment}</span>
        </Fragment>
      ))}
    </>
  );
}

/** A name that narrows the list to those that have it. */
function Name({ field, text }: { readonly field: 'solver' | 'problem'; readonly text: string }) {
  if (text === '') return null;
  return (
    <button
      type="button"
      class={`link ${field}`}
      title={`Only ${field} ${text}`}
      tabIndex={-1}
      onClick={() => narrow(fieldFilter(field, text))}
    >
      {text}
    </button>
  );
}

function Tags({ tags }: { readonly tags: Readonly<Record<string, string>> }) {
  const all = Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1));
  const told = all.filter(([name]) => !name.startsWith(IMPORT_TAGS)).slice(0, TAGS_MAX);
  const more = all.filter((tag) => !told.includes(tag));
  return (
    <span class="tag-list">
      {told.map(([name, value]) => (
        <Tag
          key={name}
          name={name}
          value={value}
          title={`Only those with ${name} = ${value}`}
          onClick={() => narrow(tagFilter(name, value))}
        />
      ))}
      {more.length > 0 && (
        <span class="muted" title={more.map(([name, value]) => `${name} = ${value}`).join('\n')}>
          +{more.length}
        </span>
      )}
    </span>
  );
}
