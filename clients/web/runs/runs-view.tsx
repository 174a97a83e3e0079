/** The list of runs. */
export function RunsView() {
  return <h1>Runs</h1>;
}
