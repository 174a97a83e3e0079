import fc from 'fast-check';
import type { Field, Filter, Operator, Value } from '../../server/filter/filter.js';

const ORDERED: readonly Operator[] = ['=', '!=', '<', '<=', '>', '>='];
const anyText = fc.constantFrom('', 'a', 'ab', 'b', 'NSGA2', 'a "quoted" * text\\', '\u{1f600}', '\ufffd', 'x y');
/** Times around those of results that are saved now, and others. */
const anyTime = fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n });

function comparisons(field: fc.Arbitrary<Field>, operators: readonly Operator[], value: fc.Arbitrary<Value>) {
  return fc.record({
    kind: fc.constant('comparison' as const),
    field,
    operator: fc.constantFrom(...operators),
    value,
  });
}

const named = (names: readonly Field['name'][]) => fc.constantFrom(...names).map((name) => ({ name }) as Field);
const texts = named(['key', 'problem', 'solver', 'description', 'upload_id']);
const tags = anyText.filter((tag) => tag !== '').map((tag): Field => ({ name: 'tag', tag }));
const bests = fc.constantFrom('f', 'g', 'none').map((objective): Field => ({ name: 'best', objective }));
const numbers = fc.oneof(fc.integer({ min: -5, max: 5 }), fc.double({ noNaN: true, noDefaultInfinity: true }));

const anyComparison: fc.Arbitrary<Filter> = fc.oneof(
  comparisons(fc.oneof(texts, tags), [...ORDERED, 'prefix'], anyText),
  comparisons(fc.oneof(tags, bests), ['has'], fc.constant(undefined)),
  comparisons(fc.oneof(named(['row_count', 'size_bytes', 'revision']), bests), ORDERED, numbers),
  comparisons(named(['create_time', 'commit_time', 'update_time']), ORDERED, anyTime),
  comparisons(named(['outcome']), ['=', '!='], fc.constantFrom('FINISHED', 'FAILED', 'STOPPED', 'UNSPECIFIED')),
  comparisons(named(['state']), ['=', '!='], fc.constant('COMMITTED')),
);

/** Any filter, of few levels. */
export const anyFilter: fc.Arbitrary<Filter> = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    anyComparison,
    fc.record({ kind: fc.constant('not' as const), part: tie('filter') }),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      parts: fc.array(tie('filter'), { minLength: 2, maxLength: 3 }),
    }),
  ),
})).filter;
