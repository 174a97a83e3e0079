/**
 * Which results a list is about: a filter that was read from text, or made from tags. What it means is the same in
 * every store; docs/filter.md describes the language.
 */
export type Filter =
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Filter[] }
  | { readonly kind: 'not'; readonly part: Filter }
  | Comparison;

/** A field compared with a value. It does not hold where the result has no such field, whichever the operator. */
export interface Comparison {
  readonly kind: 'comparison';
  readonly field: Field;
  readonly operator: Operator;
  readonly value: Value;
}

/** How a field is compared. `has`: the field is there (tags, best values). `prefix`: text that begins so. */
export type Operator = '=' | '!=' | '<' | '<=' | '>' | '>=' | 'has' | 'prefix';

/** What is compared, and by its type with what: text with text (by its UTF-8 bytes), numbers with numbers, times with times. */
export type Field =
  | { readonly name: 'key' | 'problem' | 'solver' | 'description' | 'state' | 'outcome' | 'upload_id' }
  | { readonly name: 'tag'; readonly tag: string }
  | { readonly name: 'row_count' | 'size_bytes' | 'revision' }
  | { readonly name: 'best'; readonly objective: string }
  | { readonly name: 'create_time' | 'commit_time' | 'update_time' };

/** Text, a number, or a time in nanoseconds since 1970; for `has`, undefined. */
export type Value = string | number | bigint | undefined;

/** Results that have all of these tags with these values; undefined for no tags. */
export function allTags(tags: Readonly<Record<string, string>>): Filter | undefined {
  const parts = Object.entries(tags).map(([tag, value]): Filter => {
    return { kind: 'comparison', field: { name: 'tag', tag }, operator: '=', value };
  });
  return parts.length === 0 ? undefined : { kind: 'and', parts };
}

/** Results for which all of these hold; undefined where there are none. */
export function allOf(...filters: (Filter | undefined)[]): Filter | undefined {
  const parts = filters.filter((filter) => filter !== undefined);
  return parts.length < 2 ? parts[0] : { kind: 'and', parts };
}
