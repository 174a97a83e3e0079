import type { ComponentChildren } from 'preact';

/** Facts with their names, side by side or a line each; those that are undefined are left out. */
export function KeyValue({
  items,
  isList = false,
}: {
  readonly isList?: boolean;
  readonly items: readonly (readonly [name: string, value: ComponentChildren] | undefined)[];
}) {
  return (
    <dl class={isList ? 'key-value list' : 'key-value'}>
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
