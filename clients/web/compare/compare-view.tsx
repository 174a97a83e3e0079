/** Some runs side by side. */
export function CompareView({ keys }: { readonly keys: readonly string[] }) {
  return <h1>{keys.join(', ')}</h1>;
}
