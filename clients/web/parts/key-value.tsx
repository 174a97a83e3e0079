import type { ComponentChildren } from 'preact';

/** Facts with their names; those that are undefined are left out. */
export function KeyValue({
  items,
}: {
  readonly items: readonly (readonly [name: string, value: ComponentChildren] | undefined)[];
}) {
  return (
    <dl class="key-value">
      {items.map(
        (item) =>
          item && (
            <div key={item[0]}>
              <dt>{item[0]}</dt>
              <dd>{item[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}
