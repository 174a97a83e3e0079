import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Outcome, type Result } from '../../proto/gen/optistore/v1/result_pb.js';
import { checkMetadata, invalid } from './validate.js';

const FIELDS = 'tags, tags.NAME, attributes, attributes.NAME, description or outcome';

/**
 * Makes an edit of the fields that an update mask names; see UpdateResultRequest. What it makes of a manifest is checked
 * like a save's metadata. REQUEST_INVALID.
 */
export function editOf(paths: readonly string[], given: Result): (manifest: Manifest) => void {
  if (paths.length === 0) throw invalid(`update_mask names no field; name ${FIELDS}`);
  const edits = paths.map((path) => editOfPath(path, given));
  return (manifest) => {
    for (const edit of edits) edit(manifest);
    checkMetadata(manifest.tags, manifest.description, manifest.attributes);
  };
}

function editOfPath(path: string, given: Result): (manifest: Manifest) => void {
  const [field, ...rest] = path.split('.');
  // Tags may have dots in their names.
  const name = rest.length === 0 ? undefined : rest.join('.');
  if (field === 'tags')
    return (manifest) => {
      manifest.tags = name === undefined ? { ...given.tags } : withEntry(manifest.tags, given.tags, name);
    };
  if (field === 'attributes')
    return (manifest) => {
      const attributes = name === undefined ? given.attributes : withEntry(manifest.attributes, given.attributes, name);
      if (attributes === undefined) delete manifest.attributes;
      else manifest.attributes = attributes;
    };
  if (path === 'description') return (manifest) => void (manifest.description = given.description);
  if (path === 'outcome') {
    if (Outcome[given.outcome] === undefined) throw invalid(`outcome is ${given.outcome}, which is not known`);
    return (manifest) => void (manifest.outcome = given.outcome);
  }
  throw invalid(`update_mask names ${JSON.stringify(path.slice(0, 80))}; ${FIELDS} can be changed`);
}

/** A mapping whose entry of that name is the given one's; without it where that has none. */
function withEntry<T>(before: Record<string, T> = {}, given: Record<string, T> = {}, name: string): Record<string, T> {
  const others = Object.entries(before).filter(([other]) => other !== name);
  return Object.fromEntries(Object.hasOwn(given, name) ? [...others, [name, given[name] as T]] : others);
}
