import type { Knex } from 'knex';
import { manifestCrc, type ManifestRow } from './result-rows.js';
import { revisionCrc, type RevisionRow } from './revision-rows.js';
import { storeCrc, type StoredRow } from './store-row.js';
import { UPLOAD_COLUMNS, uploadCrc, type UploadRow } from './upload-table.js';

/** A step of the schema. Never changed once released; docs/database.md describes what they make together. */
interface Migration extends Knex.Migration {
  readonly name: string;
}

/** Text that is ordered by its UTF-8 bytes on every database. */
function text(knex: Knex, table: Knex.CreateTableBuilder, name: string): Knex.ColumnBuilder {
  return isPostgresql(knex) ? table.specificType(name, 'text COLLATE "C"') : table.text(name);
}

function isPostgresql(knex: Knex): boolean {
  return (knex.client as { dialect: string }).dialect === 'postgresql';
}

async function createResults(knex: Knex): Promise<void> {
  await knex.schema.createTable('results', (table) => {
    text(knex, table, 'key').primary();
    table.bigInteger('revision').notNullable();
    text(knex, table, 'kind').notNullable();
    text(knex, table, 'problem');
    text(knex, table, 'solver');
    text(knex, table, 'description').notNullable();
    text(knex, table, 'outcome').notNullable();
    table.bigInteger('create_time').notNullable();
    table.bigInteger('commit_time').notNullable();
    table.bigInteger('update_time').notNullable();
    table.bigInteger('row_count').notNullable();
    table.bigInteger('size_bytes').notNullable();
    text(knex, table, 'upload_id').notNullable();
    text(knex, table, 'replication').notNullable();
    table.bigInteger('change_number').notNullable().unique('results_by_change');
    table.binary('manifest').notNullable();
  });
  for (const column of ['commit_time', 'update_time', 'create_time', 'row_count'])
    await knex.raw(`CREATE INDEX results_by_${column} ON results (${column}, key) WHERE kind = 'COMMITTED'`);
  for (const column of ['problem', 'solver'])
    await knex.raw(
      `CREATE INDEX results_by_${column} ON results (${column}, commit_time, key) WHERE kind = 'COMMITTED'`,
    );
  await knex.raw("CREATE INDEX results_pending ON results (change_number) WHERE replication = 'PENDING'");
  await knex.schema.createTable('tags', (table) => {
    text(knex, table, 'key').notNullable().references('key').inTable('results').onDelete('CASCADE');
    text(knex, table, 'name').notNullable();
    text(knex, table, 'value').notNullable();
    table.bigInteger('commit_time').notNullable();
    table.bigInteger('update_time').notNullable();
    table.primary(['key', 'name']);
  });
  // A page of the results with a tag is read in its order from here, however rare or common the tag is.
  await knex.raw('CREATE INDEX tags_by_value ON tags (name, value, key)');
  for (const column of ['commit_time', 'update_time'])
    await knex.raw(`CREATE INDEX tags_by_${column} ON tags (name, value, ${column}, key)`);
  await knex.schema.createTable('best', (table) => {
    text(knex, table, 'key').notNullable().references('key').inTable('results').onDelete('CASCADE');
    text(knex, table, 'objective').notNullable();
    table.double('value').notNullable();
    table.primary(['key', 'objective']);
  });
  await knex.raw('CREATE INDEX best_by_value ON best (objective, value, key)');
}

async function createRows(knex: Knex): Promise<void> {
  await knex.schema.createTable('revisions', (table) => {
    table.bigIncrements('id');
    text(knex, table, 'key').notNullable();
    table.bigInteger('revision').notNullable();
    table.bigInteger('superseded_ms').notNullable();
    table.binary('manifest').notNullable();
    table.index(['key', 'revision'], 'revisions_by_key');
    table.index(['superseded_ms'], 'revisions_by_age');
  });
  await knex.schema.createTable('segments', (table) => {
    table.bigIncrements('id');
    table.boolean('removed').notNullable().defaultTo(false);
    table.bigInteger('read_until_ms').notNullable().defaultTo(0);
  });
  await knex.raw('CREATE INDEX segments_removed ON segments (id) WHERE removed');
  await knex.schema.createTable('blocks', (table) => {
    table.bigInteger('segment_id').notNullable().references('id').inTable('segments');
    table.bigInteger('first_row').notNullable();
    table.bigInteger('row_count').notNullable();
    table.integer('header_bytes').notNullable();
    table.integer('block_bytes').notNullable();
    table.boolean('is_loose').notNullable();
    table.binary('bytes').notNullable();
    table.primary(['segment_id', 'first_row']);
  });
  // Numbers don't compress, and only what is stored as it is can be read in part.
  if (isPostgresql(knex)) await knex.raw('ALTER TABLE blocks ALTER COLUMN bytes SET STORAGE EXTERNAL');
}

async function createUploads(knex: Knex): Promise<void> {
  await knex.schema.createTable('uploads', (table) => {
    text(knex, table, 'upload_id').primary();
    text(knex, table, 'key').notNullable();
    text(knex, table, 'outcome').notNullable();
    table.boolean('is_copy').notNullable();
    table.bigInteger('epoch').notNullable();
    table.bigInteger('segment_id').notNullable();
    table.bigInteger('row_count').notNullable();
    table.bigInteger('size_bytes').notNullable();
    table.bigInteger('create_time_ms').notNullable();
    table.bigInteger('update_time_ms').notNullable();
    table.bigInteger('held_until_ms').notNullable();
    table.binary('checkpoint');
    table.binary('record').notNullable();
  });
  await knex.raw("CREATE INDEX uploads_open ON uploads (upload_id) WHERE outcome = 'OPEN'");
  await knex.schema.createTable('store', (table) => {
    table.integer('id').primary();
    table.bigInteger('change_number').notNullable();
    table.bigInteger('floor').notNullable();
    table.bigInteger('result_count').notNullable();
    table.bigInteger('pending_count').notNullable();
    table.bigInteger('size_bytes').notNullable();
  });
  const counts = { result_count: 0, pending_count: 0, size_bytes: 0 };
  await knex('store').insert({ id: 1, change_number: 0, floor: 0, ...counts });
}

async function addCreators(knex: Knex): Promise<void> {
  await knex.schema.alterTable('uploads', (table) => {
    text(knex, table, 'created_by').notNullable().defaultTo('');
  });
}

/** Rows that one step of a migration reads. */
const STEP_ROWS = 500;

async function addChecks(knex: Knex): Promise<void> {
  for (const name of ['results', 'revisions', 'uploads', 'store'])
    await knex.schema.alterTable(name, (table) => table.bigInteger('crc').notNullable().defaultTo(0));
  await knex.schema.alterTable('segments', (table) => table.bigInteger('removed_id').notNullable().defaultTo(0));
  await knex('segments')
    .where({ removed: true })
    .update({ removed_id: knex.ref('id') });
  await fillIn<ManifestRow>(knex, 'results', 'key', ['revision', 'manifest'], manifestCrc);
  await fillIn<RevisionRow>(knex, 'revisions', 'id', ['key', 'revision', 'superseded_ms', 'manifest'], revisionCrc);
  await fillIn<UploadRow>(knex, 'uploads', 'upload_id', UPLOAD_COLUMNS, uploadCrc);
  for (const row of await knex('store').select<StoredRow[]>())
    await knex('store')
      .where({ id: 1 })
      .update({ crc: storeCrc(row) });
}

/** Gives each row of a table its checksum. */
async function fillIn<Row>(
  knex: Knex,
  table: string,
  id: string,
  columns: readonly string[],
  crcOf: (row: Row) => number,
): Promise<void> {
  let after: unknown;
  for (;;) {
    const query = knex(table).orderBy(id).limit(STEP_ROWS);
    if (after !== undefined) void query.where(id, '>', after as string);
    const rows: Record<string, unknown>[] = await query.select(id, ...columns);
    for (const row of rows)
      await knex(table)
        .where({ [id]: row[id] })
        .update({ crc: crcOf(row as Row) });
    after = rows.at(-1)?.[id];
    if (rows.length < STEP_ROWS) return;
  }
}

const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001_results_rows_uploads',
    async up(knex) {
      await createResults(knex);
      await createRows(knex);
      await createUploads(knex);
    },
    async down(knex) {
      for (const table of ['store', 'uploads', 'blocks', 'segments', 'revisions', 'best', 'tags', 'results'])
        await knex.schema.dropTable(table);
    },
  },
  {
    name: '0002_created_by',
    up: addCreators,
    down: (knex) => knex.schema.alterTable('uploads', (table) => table.dropColumn('created_by')),
  },
  {
    name: '0003_checksums',
    up: addChecks,
    async down(knex) {
      for (const name of ['results', 'revisions', 'uploads', 'store'])
        await knex.schema.alterTable(name, (table) => table.dropColumn('crc'));
      await knex.schema.alterTable('segments', (table) => table.dropColumn('removed_id'));
    },
  },
];

/** How many steps there are. */
export const MIGRATION_COUNT = MIGRATIONS.length;

/** Gives knex the migrations as they were compiled: an installed package has no folder of sources. */
const MIGRATION_SOURCE: Knex.MigrationSource<Migration> = {
  getMigrations: () => Promise.resolve([...MIGRATIONS]),
  getMigrationName: ({ name }) => name,
  getMigration: (migration) => Promise.resolve(migration),
};

const SETTINGS: Knex.MigratorConfig = { migrationSource: MIGRATION_SOURCE, tableName: 'optistore_migrations' };

/** Brings the tables up to date. */
export async function migrateToLatest(knex: Knex): Promise<void> {
  const [, waiting] = (await knex.migrate.list(SETTINGS)) as [unknown[], unknown[]];
  if (waiting.length === 0) return;
  // A daemon that was killed while it migrated leaves knex's own lock behind; ours it can't.
  await knex.migrate.forceFreeMigrationsLock(SETTINGS);
  await knex.migrate.latest(SETTINGS);
}
