/** What the metadata of Arrow and Parquet files is named. `problem` and `solver` are what the store `filesystem` and `Rows.to_arrow` write too. */
export const METADATA = {
  /** The problem's name. */
  problem: 'optistore.problem',
  solver: 'optistore.solver',
  /** The whole problem as protobuf JSON. */
  problemJson: 'optistore.problem_json',
  key: 'optistore.key',
  revision: 'optistore.revision',
} as const;
