/** A committed run. */
export function RunView({ runKey }: { readonly runKey: string }) {
  return <h1>{runKey}</h1>;
}
