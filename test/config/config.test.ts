import { describe, expect, test } from 'vitest';
import { ConfigError, loggable, readConfig, type Config, type Settings } from '../../server/config.js';
import { Folder, run, start, until, type Surroundings } from '../cli/cli.js';

/** Reads a configuration from a file's text, variables and flags. */
async function read(yaml: string, environment: NodeJS.ProcessEnv = {}, flags: Settings = {}): Promise<Config> {
  await using folder = await Folder.make();
  return readConfig(flags, await folder.file('optistore.yaml', yaml), environment);
}

/** The message that a wrong configuration is refused with. */
async function refusal(yaml: string, environment: NodeJS.ProcessEnv = {}, flags: Settings = {}): Promise<string> {
  try {
    return `it was taken: ${JSON.stringify(await read(yaml, environment, flags))}`;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

/** What a daemon says of itself when it serves. */
interface Serving {
  readonly grpc: string;
  readonly socket?: string;
  readonly store: { readonly path: string };
}

/** Starts a daemon, lets it say where it serves, and stops it. */
async function served(flags: readonly string[], surroundings: Surroundings): Promise<Serving> {
  await using daemon = start(['serve', ...flags], surroundings);
  const log = await until(
    () => daemon.stderr,
    (text) => text.includes('"msg":"serving"'),
  );
  await daemon.stop('SIGTERM');
  return JSON.parse(log.split('\n').find((line) => line.includes('"msg":"serving"')) ?? '') as Serving;
}

describe('without any', () => {
  test('the daemon listens on the loopback, and keeps its data in ./optistore-data', () => {
    expect(readConfig({}, undefined, {})).toMatchObject({
      listen: '127.0.0.1:50051',
      insecure: false,
      primary: { type: 'leveldb', path: './optistore-data' },
      log_level: 'info',
    });
  });

  test('an empty file changes nothing', async () => {
    expect(await read('')).toEqual(readConfig({}, undefined, {}));
    expect(await read('# nothing yet\n')).toEqual(readConfig({}, undefined, {}));
  });

  test.each(['primary', 'socket', 'listen', 'log_level'])(
    'a key with nothing behind it (%s) is taken as absent, or refused by its name',
    async (key) => {
      // YAML reads `key:` as null: someone has commented out what stood below.
      expect(await refusal(`${key}:\n`)).toMatch(new RegExp(`it was taken|${key}: `));
    },
  );
});

describe('precedence', () => {
  const FILE = 'listen: 127.0.0.1:1001\nlog_level: debug\nprimary: { path: /file }\nupload_ttl: 1h\n';

  test('the file beats the defaults', async () => {
    expect(await read(FILE)).toMatchObject({
      listen: '127.0.0.1:1001',
      log_level: 'debug',
      primary: { type: 'leveldb', path: '/file' },
      upload_ttl: 3_600_000,
    });
  });

  test('variables beat the file, each key by itself', async () => {
    const environment = { OPTISTORE_LISTEN: '127.0.0.1:1002', OPTISTORE_PRIMARY_PATH: '/variable' };
    expect(await read(FILE, environment)).toMatchObject({
      listen: '127.0.0.1:1002',
      log_level: 'debug',
      primary: { type: 'leveldb', path: '/variable' },
    });
  });

  test('flags beat variables, each key by itself', async () => {
    const environment = { OPTISTORE_LISTEN: '127.0.0.1:1002', OPTISTORE_PRIMARY_PATH: '/variable' };
    expect(await read(FILE, environment, { primary: { path: '/flag' }, socket: undefined })).toMatchObject({
      listen: '127.0.0.1:1002',
      log_level: 'debug',
      primary: { type: 'leveldb', path: '/flag' },
    });
  });

  test('every key of the schema has its variable', async () => {
    const environment = {
      OPTISTORE_LISTEN: 'localhost:7',
      OPTISTORE_SOCKET: '/run/o.sock',
      OPTISTORE_INSECURE: 'true',
      OPTISTORE_PRIMARY_TYPE: 'leveldb',
      OPTISTORE_PRIMARY_PATH: '/data',
      OPTISTORE_USE_CACHE: 'false',
      OPTISTORE_CACHE_SIZE_MB: '12.5',
      OPTISTORE_UPLOAD_TTL: '2d',
      OPTISTORE_STREAM_IDLE_TIMEOUT: '1500ms',
      OPTISTORE_SCRUB_INTERVAL: '1d',
      OPTISTORE_SCRUB_MB_PER_SECOND: '0.5',
      OPTISTORE_LOG_LEVEL: 'silent',
    };
    expect(await read('', environment)).toMatchObject({
      listen: 'localhost:7',
      socket: '/run/o.sock',
      insecure: true,
      primary: { type: 'leveldb', path: '/data' },
      use_cache: false,
      cache_size_mb: 12.5,
      upload_ttl: 172_800_000,
      stream_idle_timeout: 1500,
      scrub_interval: 86_400_000,
      scrub_mb_per_second: 0.5,
      log_level: 'silent',
    });
  });

  test('the scrub is turned off by a word', async () => {
    for (const off of ['off', '"off"'])
      expect(await read(`scrub_interval: ${off}\n`)).toMatchObject({ scrub_interval: 'off' });
    expect(await read('')).toMatchObject({ scrub_interval: 7 * 24 * 3_600_000, scrub_mb_per_second: 20 });
  });

  test('a store in memory has keys of its own, and their variables', async () => {
    expect(await read('primary: { type: memory, max_memory_mb: 64 }\n')).toMatchObject({
      primary: { type: 'memory', max_memory_mb: 64 },
    });
    const environment = { OPTISTORE_PRIMARY_TYPE: 'memory', OPTISTORE_PRIMARY_MAX_MEMORY_MB: '32' };
    expect(await read('', environment)).toMatchObject({ primary: { type: 'memory', max_memory_mb: 32 } });
  });

  test('holds for the daemon: file in its folder, then variables, then flags', async () => {
    await using folder = await Folder.make();
    await folder.file('optistore.yaml', `listen: 127.0.0.1:0\nsocket: file.sock\nprimary: { path: from-file }\n`);
    const cwd = folder.path;
    const fromFile = await served([], { cwd });
    expect(fromFile).toMatchObject({ socket: 'file.sock', store: { path: 'from-file' } });
    expect(fromFile.grpc).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    const env = { OPTISTORE_SOCKET: 'variable.sock', OPTISTORE_PRIMARY_PATH: 'from-variable' };
    const withVariables = await served([], { cwd, env });
    expect(withVariables).toMatchObject({ socket: 'variable.sock', store: { path: 'from-variable' } });
    const withFlags = await served(['--path', 'from-flag'], { cwd, env });
    expect(withFlags).toMatchObject({ socket: 'variable.sock', store: { path: 'from-flag' } });
    await folder.file('other.yaml', 'listen: 127.0.0.1:0\nprimary: { path: from-other }\n');
    expect(await served(['--config', 'other.yaml'], { cwd })).toMatchObject({ store: { path: 'from-other' } });
  });
});

describe('what is wrong is refused, with its field and what was expected', () => {
  test.each([
    ['an unknown key', 'lisen: 127.0.0.1:1\n', /"lisen"/],
    ['an unknown key below another', 'primary: { pth: /x }\n', /primary.*"pth"/],
    ['a key of a type that does not fit', 'listen: 50051\n', /listen: .*string/],
    ['an address without a port', 'listen: localhost\n', /listen: host:port, such as 127\.0\.0\.1:50051/],
    ['a port beyond 65535', 'listen: 127.0.0.1:99999\n', /listen: /],
    ['an empty path', 'primary: { path: "" }\n', /primary\.path: /],
    ['a path that is a number', 'primary: { path: 5 }\n', /primary\.path: .*string/],
    ['a type of store that is not there', 'primary: { type: tape }\n', /primary\.type: .*leveldb/],
    ['a store that is only a path', 'primary: ./data\n', /primary(\.type)?: .*(object|mapping|leveldb)/],
    ['a store that is a list', 'primary: []\n', /primary(\.type)?: .*(object|mapping|leveldb)/],
    ['a duration without a unit', 'upload_ttl: "30"\n', /upload_ttl: a duration such as 10m, 24h or 30d/],
    ['a duration that is a number', 'upload_ttl: 30\n', /upload_ttl: .*(string|duration)/],
    ['a duration in words', 'stream_idle_timeout: soon\n', /stream_idle_timeout: a duration such as/],
    ['a scrub without a pause', 'scrub_interval: 0s\n', /scrub_interval: off, or a duration such as 7d/],
    ['a scrub in words', 'scrub_interval: "on"\n', /scrub_interval: off, or a duration such as 7d/],
    ['a scrub that reads nothing', 'scrub_mb_per_second: 0\n', /scrub_mb_per_second: a number of MiB above 0/],
    ['a level of log that is not there', 'log_level: loud\n', /log_level: .*"?debug"?.*"?silent"?/],
    ['a switch that is neither on nor off', 'insecure: maybe\n', /insecure: .*(true|boolean)/],
    ['a cache without a size', 'cache_size_mb: 0\n', /cache_size_mb: a number of MiB above 0/],
    ['a size in words', 'cache_size_mb: lots\n', /cache_size_mb: a number of MiB above 0/],
    ['a key of another store', 'primary: { type: memory, path: /x }\n', /primary: .*"path"/],
    [
      'a database of no known form',
      'primary: { type: database, connection_string: "mysql://u:secret@h/d" }\n',
      /primary\.connection_string: .*no known form.*sqlite:\/\/\//,
    ],
    ['a database that is not named', 'primary: { type: database }\n', /primary\.connection_string: /],
    ['a socket without a name', 'socket: ""\n', /socket: /],
    ['a file that is a list', '- listen\n', /optistore\.yaml can't be used: .*mapping/],
    ['a file that is not YAML', 'listen: [127\n', /optistore\.yaml can't be used: .*line \d/],
    [
      'a key twice',
      'log_level: info\nlog_level: debug\n',
      /optistore\.yaml can't be used: .*line 2, column 1 \(duplicate key\)/,
    ],
  ])('%s', async (_, yaml, message) => {
    expect(await refusal(yaml)).toMatch(message);
  });

  test('all mistakes are named at once', async () => {
    expect(await refusal('lisen: x\nlog_level: loud\nupload_ttl: soon\n')).toMatch(
      /(?=.*lisen)(?=.*log_level)(?=.*upload_ttl)/,
    );
  });

  test('mistakes in variables and flags are named as those in the file', async () => {
    expect(await refusal('', { OPTISTORE_LOG_LEVEL: 'loud' })).toMatch(/log_level \(OPTISTORE_LOG_LEVEL\): /);
    expect(await refusal('', { OPTISTORE_PRIMARY_TYPE: 'tape' })).toMatch(
      /primary\.type \(OPTISTORE_PRIMARY_TYPE\): .*leveldb/,
    );
    expect(await refusal('', { OPTISTORE_INSECURE: 'maybe' })).toMatch(/insecure \(OPTISTORE_INSECURE\): .*true/);
    const flagged = await refusal('', { OPTISTORE_LISTEN: '127.0.0.1:7' }, { listen: 'nowhere' });
    expect(flagged).toMatch(/listen: host:port/);
  });
});

describe('a database as the store', () => {
  const url = 'postgresql://ann:s3cret@db.example:5433/results?sslmode=require';

  test('is taken from the file and from the variable', async () => {
    const wanted = { primary: { type: 'database', connection_string: url } };
    expect(await read(`primary: { type: database, connection_string: "${url}" }\n`)).toMatchObject(wanted);
    const environment = { OPTISTORE_PRIMARY_TYPE: 'database', OPTISTORE_PRIMARY_CONNECTION_STRING: url };
    expect(await read('', environment)).toMatchObject(wanted);
  });

  test('its password is neither in messages nor in the log', async () => {
    expect(loggable({ type: 'database', connection_string: url })).toEqual({
      type: 'database',
      connection_string: 'postgresql://ann@db.example:5433/results',
    });
    for (const wrong of [
      'mysql://ann:s3cret@db/results',
      'postgresql://ann:s3cret@db',
      'postgresql://ann:s3cret@:x/results',
      // A slash that is not encoded ends the host: digits before it are taken for a port.
      'postgresql://ann:1234/s3cret@db/results',
      'postgresql://ann:1234/s3cret@db',
      'postgresql://ann:1234?s3cret@db/results',
      'postgresql://ann:1234#s3cret@db/results',
    ])
      expect(
        await refusal('', { OPTISTORE_PRIMARY_TYPE: 'database', OPTISTORE_PRIMARY_CONNECTION_STRING: wrong }),
      ).toMatch(
        /^The configuration is wrong\. primary\.connection_string \(OPTISTORE_PRIMARY_CONNECTION_STRING\): (?!.*s3cret)/,
      );
  });
});

describe('a file that is no YAML', () => {
  test.each([
    ['wrongly indented', 'primary:\n  connection_string: postgresql://u:s3cret@h/db\n   type: database\n'],
    ['with a text that needs quotes', 'primary: { type: database }\ntokens: s3cret: s3cret\n'],
    ['with quotes that do not end', 'tokens: "s3cret\n'],
    ['with a value that is taken for an alias', 'tokens: *s3cret\n'],
    ['with a value that is taken for a tag', 'tokens: !s3cret@\n a: [s3cret\n'],
    ['with a sign that nothing begins with', 'tokens: @s3cret\n'],
  ])('is told by its place, and nothing of it is repeated: %s', async (_, yaml) => {
    const message = await refusal(yaml);
    expect(message).toMatch(/can't be used: it is no sound YAML (at line \d+, column \d+ \(|where)/);
    expect(message).not.toContain('s3cret');
  });
});

describe('an address that others can reach', () => {
  test.each(['0.0.0.0:50051', '192.168.1.2:50051', '[::]:50051', 'example.com:50051', '127.0.0.1.example.com:50051'])(
    '%s is refused, and taken with insecure',
    async (listen) => {
      expect(await refusal('', {}, { listen })).toMatch(/^listen is .*not encrypted.*--insecure/);
      expect(await read('', {}, { listen, insecure: true })).toMatchObject({ listen });
      expect(await read('insecure: true\n', { OPTISTORE_LISTEN: listen })).toMatchObject({ listen });
    },
  );

  test('is taken with TLS and tokens, and with neither alone', async () => {
    const tls = { tls_cert: 'c.pem', tls_key: 'k.pem' };
    for (const address of [{ listen: '0.0.0.0:50051' }, { web: '0.0.0.0:8080' }]) {
      expect(await refusal('', {}, { ...address, ...tls })).toMatch(/nobody is asked for a token/);
      expect(await refusal('', {}, { ...address, tokens: 't.json' })).toMatch(/not encrypted/);
      expect(await read('', {}, { ...address, ...tls, tokens: 't.json' })).toMatchObject(address);
    }
    expect(await refusal('', {}, { tls_cert: 'c.pem' })).toMatch(/tls_cert and tls_key go together/);
    expect(await refusal('', {}, { tls_client_ca: 'c.pem' })).toMatch(/needs tls_cert/);
  });

  test('is not served without the files that it needs', async () => {
    await using folder = await Folder.make();
    const wrong = await folder.file('wrong.pem', 'no certificate');
    for (const cert of [wrong, folder.at('none.pem')]) {
      const config = await folder.file('optistore.yaml', { tls_cert: cert, tls_key: wrong, listen: '127.0.0.1:0' });
      const { code, stderr } = await run(['serve', '--config', config], { cwd: folder.at('.') });
      expect(code).toBe(1);
      expect(stderr).toContain(cert);
    }
    const config = await folder.file('optistore.yaml', { tokens: wrong, listen: '127.0.0.1:0' });
    const { code, stderr } = await run(['serve', '--config', config], { cwd: folder.at('.') });
    expect(code).toBe(1);
    expect(stderr).toMatch(/is no file of tokens.*Restore it/s);
  });

  test.each(['127.0.0.1:0', '127.1.2.3:50051', 'localhost:50051', '[::1]:50051'])('%s is none', async (listen) => {
    expect(await read('', {}, { listen })).toMatchObject({ listen });
  });
});

describe('optistore serve with a wrong configuration ends with 2 before it touches anything', () => {
  test.each([
    ['an unknown key', { yaml: 'lisen: x\n' }, /"lisen"/],
    ['a wrong variable', { env: { OPTISTORE_UPLOAD_TTL: 'soon' } }, /upload_ttl \(OPTISTORE_UPLOAD_TTL\): a duration/],
    ['a wrong flag', { flags: ['--log-level', 'loud'] }, /log_level: /],
    ['an address that others can reach', { flags: ['--listen', '0.0.0.0:0'] }, /listen is 0\.0\.0\.0:0.*--insecure/],
    ['a port beyond 65535', { flags: ['--listen', '127.0.0.1:99999'] }, /listen.*99999|listen: /],
    ['a file that is not there', { flags: ['--config', 'none.yaml'] }, /none\.yaml/],
  ] satisfies [string, { yaml?: string; env?: Record<string, string>; flags?: string[] }, RegExp][])(
    '%s',
    async (
      _,
      { yaml = '', env = {}, flags = [] }: { yaml?: string; env?: Record<string, string>; flags?: string[] },
      message,
    ) => {
      await using folder = await Folder.make();
      await folder.file('optistore.yaml', `${yaml}primary: { path: data }\n`);
      const { code, stdout, stderr } = await run(['serve', ...flags], { cwd: folder.path, env });
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/^\s+at /m);
      expect([code, stdout]).toEqual([2, '']);
      await expect(folder.read('data/index/CURRENT')).rejects.toMatchObject({ code: 'ENOENT' });
    },
  );
});
