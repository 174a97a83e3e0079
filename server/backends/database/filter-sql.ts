import type { Comparison, Field, Filter, Operator, Value } from '../../filter/filter.js';

/** A condition with a `?` for each of its values. It is true or false, never NULL, so that NOT of it is right. */
export interface SqlCondition {
  readonly sql: string;
  readonly bindings: readonly (string | number)[];
}

const ALWAYS: SqlCondition = { sql: '1 = 1', bindings: [] };
const NEVER: SqlCondition = { sql: '1 = 0', bindings: [] };

/** How text reaches the database. */
type AsText = (value: string) => string;

/** The condition on `results` that a filter is; it holds where server/filter/matches.ts says so. */
export function filterSql(filter: Filter, asText: AsText): SqlCondition {
  switch (filter.kind) {
    case 'and':
      return joined(filter.parts, 'AND', ALWAYS, asText);
    case 'or':
      return joined(filter.parts, 'OR', NEVER, asText);
    case 'not': {
      const { sql, bindings } = filterSql(filter.part, asText);
      return { sql: `NOT (${sql})`, bindings };
    }
    case 'comparison':
      return comparisonSql(filter, asText);
    default:
      return filter satisfies never;
  }
}

/** The first tag that a result must have with a value for the filter to hold, and what else must hold. */
export function leadingTag(filter: Filter | undefined): { tag: string; value: string; rest: Filter } | undefined {
  return leading(filter, ({ field, operator, value }) =>
    field.name === 'tag' && operator === '=' && typeof value === 'string' ? { tag: field.tag, value } : undefined,
  );
}

/** The first bound of a best value that must hold for the filter to hold, as a condition on `best AS lead`, and what else must hold. */
export function leadingBest(
  filter: Filter | undefined,
  asText: AsText,
): { condition: SqlCondition; rest: Filter } | undefined {
  return leading(filter, ({ field, operator, value }) => {
    if (field.name !== 'best' || operator === 'has' || operator === '!=') return undefined;
    const { sql, bindings } = numberSql('lead.value', operator, value);
    return { condition: { sql: `lead.objective = ? AND ${sql}`, bindings: [asText(field.objective), ...bindings] } };
  });
}

/** The first comparison that must hold for the filter to hold and that `take` takes, and what else must hold. */
function leading<Taken extends object>(
  filter: Filter | undefined,
  take: (comparison: Comparison) => Taken | undefined,
): (Taken & { rest: Filter }) | undefined {
  const parts = filter?.kind === 'and' ? filter.parts : filter === undefined ? [] : [filter];
  for (const [i, part] of parts.entries()) {
    const taken = part.kind === 'comparison' ? take(part) : undefined;
    if (taken !== undefined) return { ...taken, rest: { kind: 'and', parts: parts.toSpliced(i, 1) } };
    const within = part.kind === 'and' ? leading(part, take) : undefined;
    if (within !== undefined)
      return { ...within, rest: { kind: 'and', parts: [within.rest, ...parts.toSpliced(i, 1)] } };
  }
  return undefined;
}

function joined(parts: readonly Filter[], word: string, empty: SqlCondition, asText: AsText): SqlCondition {
  const conditions = parts.map((part) => filterSql(part, asText));
  if (conditions.length === 0) return empty;
  return {
    sql: conditions.map(({ sql }) => `(${sql})`).join(` ${word} `),
    bindings: conditions.flatMap(({ bindings }) => bindings),
  };
}

function comparisonSql({ field, operator, value }: Comparison, asText: AsText): SqlCondition {
  switch (field.name) {
    case 'state':
      return stateSql(operator, value);
    case 'tag':
      return withinSql('tags', 'name', asText(field.tag), textSql('tags.value', operator, value, asText));
    case 'best':
      return withinSql('best', 'objective', asText(field.objective), numberSql('best.value', operator, value));
    case 'problem':
    case 'solver':
      return presentSql(field.name, textSql(columnOf(field), operator, value, asText));
    case 'key':
    case 'description':
    case 'outcome':
    case 'upload_id':
      return textSql(columnOf(field), operator, value, asText);
    case 'row_count':
    case 'size_bytes':
    case 'revision':
      return numberSql(columnOf(field), operator, value);
    case 'create_time':
    case 'commit_time':
    case 'update_time':
      return timeSql(columnOf(field), operator, value);
    default:
      return field satisfies never;
  }
}

function columnOf(field: Field): string {
  return `results.${field.name}`;
}

/** Every result in a list is committed. */
function stateSql(operator: Operator, value: Value): SqlCondition {
  const state = 'COMMITTED';
  if (operator === 'has') return ALWAYS;
  if (typeof value !== 'string') return NEVER;
  const holds = {
    '=': state === value,
    '!=': state !== value,
    '<': state < value,
    '<=': state <= value,
    '>': state > value,
    '>=': state >= value,
    prefix: state.startsWith(value),
  }[operator];
  return holds ? ALWAYS : NEVER;
}

function presentSql(column: string, { sql, bindings }: SqlCondition): SqlCondition {
  return { sql: `results.${column} IS NOT NULL AND ${sql}`, bindings };
}

function withinSql(table: string, nameColumn: string, name: string, value: SqlCondition): SqlCondition {
  return {
    sql: `EXISTS (SELECT 1 FROM ${table} WHERE ${table}.key = results.key AND ${table}.${nameColumn} = ? AND ${value.sql})`,
    bindings: [name, ...value.bindings],
  };
}

function textSql(column: string, operator: Operator, value: Value, asText: AsText): SqlCondition {
  if (operator === 'has') return ALWAYS;
  if (typeof value !== 'string') return NEVER;
  if (operator === 'prefix') return prefixSql(column, asText(value));
  return { sql: `${column} ${sqlOperator(operator)} ?`, bindings: [asText(value)] };
}

/** Text that begins so: a range, which an index answers. */
export function prefixSql(column: string, prefix: string): SqlCondition {
  if (prefix === '') return ALWAYS;
  const end = afterPrefix(prefix);
  return end === undefined
    ? { sql: `${column} >= ?`, bindings: [prefix] }
    : { sql: `(${column} >= ? AND ${column} < ?)`, bindings: [prefix, end] };
}

/** The first text, by UTF-8 bytes, behind all that begin so; undefined where there is none. */
function afterPrefix(prefix: string): string | undefined {
  const points = [...prefix].map((character) => character.codePointAt(0) as number);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === 0x10ffff) continue;
    // Surrogates are no characters.
    points.push(last === 0xd7ff ? 0xe000 : last + 1);
    return String.fromCodePoint(...points);
  }
  return undefined;
}

function numberSql(column: string, operator: Operator, value: Value): SqlCondition {
  if (operator === 'has') return ALWAYS;
  if (operator === 'prefix' || typeof value !== 'number') return NEVER;
  // As where results are looked through: nothing is equal to NaN, or below it.
  if (Number.isNaN(value)) return operator === '!=' || operator === '>' || operator === '>=' ? ALWAYS : NEVER;
  const isWhole = Number.isSafeInteger(value) && !column.endsWith('.value');
  return {
    sql: `${column} ${sqlOperator(operator)} CAST(? AS ${isWhole ? 'BIGINT' : 'DOUBLE PRECISION'})`,
    bindings: [value],
  };
}

/** Times are nanoseconds, which a double can't hold: they travel as text. */
function timeSql(column: string, operator: Operator, value: Value): SqlCondition {
  if (operator === 'has') return ALWAYS;
  if (operator === 'prefix' || typeof value !== 'bigint') return NEVER;
  const most = 2n ** 63n - 1n;
  const bounded = value > most ? most : value < -most ? -most : value;
  return { sql: `${column} ${sqlOperator(operator)} CAST(? AS BIGINT)`, bindings: [String(bounded)] };
}

function sqlOperator(operator: Exclude<Operator, 'has' | 'prefix'>): string {
  return operator === '!=' ? '<>' : operator;
}
