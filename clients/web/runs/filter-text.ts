/** Filters, as docs/filter.md describes them, written for those who click. */

/** A name as it stands in a filter: quoted unless it is a plain word. */
function nameIn(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_-]*$/.test(name) ? name : quoted(name);
}

/** A text as it stands in a filter; a `*` at its end is a star, and not the beginning of what is wanted. */
function quoted(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  return `"${escaped.endsWith('*') ? `${escaped.slice(0, -1)}\\*` : escaped}"`;
}

/** A filter for a tag with a value. */
export function tagFilter(name: string, value: string): string {
  return `tags.${nameIn(name)} = ${quoted(value)}`;
}

/** A filter for a field with a text. */
export function fieldFilter(field: 'solver' | 'problem', text: string): string {
  return `${field} = ${quoted(text)}`;
}

/** Both filters at once; what is there already is not said twice. */
export function joinFilters(filter: string, more: string): string {
  const old = filter.trim();
  if (old === '') return more;
  if (old.split(/ AND /).includes(more)) return old;
  // AND and OR side by side need parentheses.
  return /\sOR\s/.test(old) ? `(${old}) AND ${more}` : `${old} AND ${more}`;
}
