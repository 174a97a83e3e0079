/** Every bound of the daemon, with its unit and its reason. */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Largest message on the wire: what every gRPC client receives by default. */
export const MESSAGE_BYTES_MAX = 4 * MIB;
/** Batches below this wait in the journal and are gathered; from here on a batch is a block by itself. */
export const GATHER_BYTES_MAX = 256 * KIB;
/** While many uploads hold rows, those that have to be durable are a block from here on: what waits in the journal is written twice. */
export const BUSY_BLOCK_BYTES_MIN = 192 * KIB;
/** A gathered block has about this for each column, so that one column is read in useful pieces … */
export const BLOCK_BYTES_PER_COLUMN = 4 * KIB;
/** … but at least this, for sequential speed … */
export const BLOCK_BYTES_MIN = MIB;
/** … and at most this, for memory. */
export const BLOCK_BYTES_MAX = 16 * MIB;
/** Bytes of a gathered block of so many columns. */
export function blockBytesFor(columnCount: number): number {
  return Math.min(Math.max(columnCount * BLOCK_BYTES_PER_COLUMN, BLOCK_BYTES_MIN), BLOCK_BYTES_MAX);
}
/** A result whose rows fit is one value of the index; a file would cost two fsyncs more. */
export const INLINE_BYTES_MAX = 64 * KIB;
/** An ack's sync starts at the latest when this much waits … */
export const ACK_BYTES_MAX = 8 * MIB;
/** … or this long after the oldest row that waits. */
export const ACK_DELAY_MS = 50;
/** Bytes that one stream may have in memory, received and not yet written. */
export const STREAM_INGEST_BYTES_MAX = 16 * MIB;
/** Bytes that all streams together may have in memory, received and not yet written. */
export const INGEST_BYTES_MAX = 16 * MIB;
/** Manifests that a LevelDB store keeps as objects, so that who asks often for the same results is answered from memory: some 1,000 of 40 columns. */
export const NEWEST_MEMO_BYTES_MAX = 32 * MIB;
/** Lines of the log are written together once there are so many bytes of them … */
export const LOG_CHUNK_BYTES = 8 * KIB;
/** … or so long after the first: what a SIGKILL may take with it. */
export const LOG_DELAY_MS = 100;
/** Lines of the log that wait for a slow reader; beyond, new ones are left out. */
export const LOG_BYTES_MAX = MIB;
/** How much of a segment recovery may have to read again. */
export const CHECKPOINT_BYTES = 64 * MIB;
/** The journal starts a new file when this much of it is no longer needed. */
export const JOURNAL_ROTATE_BYTES = 64 * MIB;
/** A key, in bytes of UTF-8. */
export const KEY_BYTES_MAX = 512;
/** Variables of a problem: a batch of one row of float64 stays far below MESSAGE_BYTES_MAX. */
export const VARIABLE_COUNT_MAX = 16_384;
/** A problem as protobuf, in bytes: a load's header has it twice, with summaries and tags, and stays below MESSAGE_BYTES_MAX. */
export const PROBLEM_BYTES_MAX = 768 * KIB;
/** A problem's name, in bytes of UTF-8. */
export const PROBLEM_NAME_BYTES_MAX = KIB;
/** A variable's name, in bytes of UTF-8. */
export const VARIABLE_NAME_BYTES_MAX = 256;
/** One string value, in bytes. */
export const STRING_BYTES_MAX = 64 * KIB;
/** All strings of one row, in bytes: several rows must fit a message. */
export const ROW_STRING_BYTES_MAX = MIB;
/** Bytes before a column's values that have no meaning: nothing counts the memory that they hold. */
export const COLUMN_PADDING_BYTES_MAX = 63;
/** Tags of a result. */
export const TAG_COUNT_MAX = 256;
/** A tag's name and its value, in bytes. */
export const TAG_NAME_BYTES_MAX = 128;
export const TAG_VALUE_BYTES_MAX = KIB;
/** Attributes as JSON, and a description, in bytes. */
export const ATTRIBUTES_BYTES_MAX = 64 * KIB;
export const DESCRIPTION_BYTES_MAX = 64 * KIB;
/** Result sets of a result, … */
export const RESULT_SET_COUNT_MAX = 1000;
/** … bytes of all their row numbers as stored: each change of a result's metadata writes them again … */
export const RESULT_SET_ROWS_BYTES_MAX = 8 * MIB;
/** … and of all that is said about them, names and parents included: a load's header has it. */
export const RESULT_SET_TEXT_BYTES_MAX = 256 * KIB;
/** A set's name, who created it and its description, in bytes of UTF-8. */
export const RESULT_SET_NAME_BYTES_MAX = 128;
export const RESULT_SET_CREATOR_BYTES_MAX = KIB;
export const RESULT_SET_DESCRIPTION_BYTES_MAX = 4 * KIB;
/** Row numbers of all sets that an answer may have. */
export const SHOWN_ROWS_BYTES_MAX = MIB;
/** An answer without row numbers: sets of a large problem are shown without them, or it would not fit a message. */
export const SHOWN_PROBLEM_BYTES_MAX = 384 * KIB;
/** Rows of a set that lie at most so many bytes apart are read in one go: blocks are read whole to be checked. */
export const SET_READ_GAP_BYTES = 2 * MIB;
/** An upload's id. */
export const UPLOAD_ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/;
/** Uploads that are not committed, with and without a stream. */
export const OPEN_UPLOADS_MAX = 10_000;
/** Streams that one connection may have open. */
export const STREAMS_PER_CONNECTION_MAX = 256;
/** Streams of a port, over all its connections: each costs some KiB by itself. */
export const STREAMS_MAX = 4096;
/** Bytes that a port has from its peers and that nobody has taken up yet, messages that are not whole among them: up to this every stream is read, beyond it they take turns … */
export const UNTAKEN_BYTES_EASY = 16 * MIB;
/** … and beyond this the connection that holds most is refused its largest stream. */
export const UNTAKEN_BYTES_MAX = 192 * MIB;
/** How long the turn of a stream lasts in which its message does not become whole. */
export const UNTAKEN_MS_MAX = 10_000;
/** Connections of a door; more are closed as they come. */
export const CONNECTIONS_MAX = 2048;
/** A peer that sent nothing for this long is asked whether it is there; after as long again its connection is closed. So a dead peer's streams and locks are free within three times this. */
export const CONNECTION_SILENCE_MS = 20_000;
/** Calls of a connection that may end before their answer does, at once, and then a second: who breaks off more is after the daemon's time (CVE-2023-44487), and is cut off. */
export const RESETS_AT_ONCE_MAX = 512;
export const RESETS_PER_SECOND_MAX = 32;
/** A connection without a stream is closed after this; clients make a new one when they need it. */
export const CONNECTION_IDLE_MS = 30 * 60_000;
/** The one request of an rpc has to be whole by then. */
export const REQUEST_MS_MAX = 60_000;
/** Messages of a save that may wait to be taken up, beside the window: two, so that one is decoded while the next one comes. */
export const MESSAGES_READ_AHEAD = 2;
/** Messages of an answer that may wait for the client, beside its window. */
export const MESSAGES_WRITTEN_AHEAD = 2;
/** A client asks so often whether the daemon is there while a call waits, and gives it so long to answer. */
export const CLIENT_KEEPALIVE_MS = 20_000;
export const CLIENT_KEEPALIVE_ANSWER_MS = 40_000;
/** Batches of a load: unless asked, at least, at most. */
export const LOAD_BATCH_BYTES_DEFAULT = MIB;
export const LOAD_BATCH_BYTES_MIN = 64 * KIB;
export const LOAD_BATCH_BYTES_MAX = 3 * MIB;
/** Rows of a sample at least: with fewer, its shares for front, improvements and ends of columns would be next to nothing. */
export const SAMPLE_ROWS_MIN = 1000;
/** Rows of a sample at most: their numbers and the front are held in memory while it is loaded, some 60 bytes each. */
export const SAMPLE_ROWS_MAX = 1_000_000;
/** Samples that are chosen at a time; others wait. A processor does one anyway, and each may hold some 60 MB. */
export const SAMPLES_CHOSEN_AT_ONCE_MAX = 4;
/** Files that a client of this machine was told of, to open them itself, are kept for this long after the load: it may be about to. */
export const LOCAL_FILES_KEPT_MS = 60_000;
/** A message that says where rows lie is sent when its places take this much: the first rows come at once. */
export const LOCAL_PLACES_BYTES = 64 * KIB;
/** Results or uploads of a page: unless asked, and at most. */
export const PAGE_SIZE_DEFAULT = 100;
export const PAGE_SIZE_MAX = 1000;
/** A page is cut when its results take this much. */
export const PAGE_BYTES_MAX = MIB;
/** A superseded or deleted revision can be loaded for this long. */
export const REVISION_RETENTION_MS = 10 * 60_000;
/** Ids of uploads that ended are remembered for this long. */
export const UPLOAD_MEMORY_MS = 30 * 24 * 3_600_000;
/** HTTP/2 windows of a stream and of a connection: most of the gain was had at 1 and 4 MiB. */
export const STREAM_WINDOW_BYTES = 512 * KIB;
export const CONNECTION_WINDOW_BYTES = 4 * MIB;
/** Largest HTTP/2 frame accepted: with the default of 16 KiB a batch of 1 MiB is 64 events, and saves take a fifth longer. */
export const FRAME_BYTES_MAX = 256 * KIB;
/** How long SIGTERM waits for streams to end before it cuts them. */
export const DRAIN_MS_MAX = 10_000;
/** Connections that the web port has at a time; one more is closed at once. */
export const WEB_CONNECTIONS_MAX = 512;
/**
 * The message of an error, and each fact beside it: they go into trailers, of which gRPC clients take 8 KiB, and Node sends
 * 64 KiB at most, and then nothing more on that connection. What a peer sent is repeated in them, and may be megabytes.
 */
export const ERROR_TEXT_BYTES_MAX = KIB;
/** All headers of a request at the web port. */
export const WEB_HEADER_BYTES_MAX = 16 * KIB;
/** A connection to the web port that has not sent its headers by then is closed; its request has REQUEST_MS_MAX. */
export const WEB_HEADERS_MS_MAX = 10_000;
/** A connection to the web port without a request is closed after this long. */
export const WEB_IDLE_MS_MAX = 60_000;
/** Connections that take too long are looked for this often. */
export const WEB_CHECK_MS = 2000;
/** Results of which a LevelDB store keeps in memory what filters ask: some 0.5 KiB each. */
export const FACTS_COUNT_MAX = 200_000;
/** At the start a LevelDB store looks through its entries so long after it is open: who has started the daemon waits for an answer first. */
export const LOOK_THROUGH_AFTER_MS = 1000;
/** A list's filter, in bytes of UTF-8, and how deep its parentheses and NOTs go. */
export const FILTER_BYTES_MAX = 4096;
export const FILTER_DEPTH_MAX = 50;
/** Who watches looks this often for changes that other daemons made, and hears this often that nothing has happened. */
export const WATCH_POLL_MS = 1000;
export const WATCH_HEARTBEAT_MS = 15_000;
/** Who follows an upload looks this often for rows whose stream is at another daemon, and hears this often that none came. */
export const FOLLOW_POLL_MS = 1000;
export const FOLLOW_HEARTBEAT_MS = 15_000;
/** The first check of everything that is stored begins so long after the start, or after `scrub_interval` where that is shorter. */
export const SCRUB_FIRST_MS_MAX = 3_600_000;
/** A store that failed so often on end is taken for dead: the next call is not worth its time-out … */
export const BREAKER_FAILURES = 5;
/** … but for one in so many milliseconds, which asks whether it is back. */
export const BREAKER_PROBE_MS = 2000;
/** A store that has not told of a key by then is as good as down: it was one read of an index. */
export const STORE_ANSWER_MS_MAX = 15_000;
/** A failed copy to the secondary is tried again after this long at first, and at most. */
export const REPLICATION_RETRY_MS_MIN = 250;
export const REPLICATION_RETRY_MS_MAX = 30_000;
/** The outbox is looked through this often for what other daemons left in a shared store. */
export const OUTBOX_POLL_MS = 5000;
/** What a daemon changed in a shared store, the others leave to it for this long; then it is taken for dead, and they copy it. */
export const OUTBOX_LEASE_MS = 60_000;
/** Keys that wait to be repaired; more are found again when they are asked for again. */
export const REPAIRS_WAITING_MAX = 10_000;
/** The file of tokens is looked at this often: for so long a revoked token may still be accepted. */
export const TOKENS_POLL_MS = 1000;
/** Uploads that one token may have open. */
export const TOKEN_UPLOADS_MAX = 1000;
/** Of a store's disk so much is kept free for commits (half of it) and deletions: rows that would take it are refused with DISK_FULL … */
export const DISK_RESERVE_BYTES_MAX = 64 * MIB;
/** … or, of a small disk, this part of it. */
export const DISK_RESERVE_SHARE = 1 / 8;
/** A file that each store on a disk keeps: what gives room for a start and for deletions when others have filled the disk to its last byte … */
export const BALLAST_BYTES_MAX = 8 * MIB;
/** … or, of a small disk, this part of it. */
export const BALLAST_SHARE = 1 / 16;
/** How much room a store has is measured this often while rows come, as others may take it or give it back. */
export const ROOM_MEASURED_MS = 1000;
