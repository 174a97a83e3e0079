package optistore

import (
	"context"
	"sync"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/grpc/codes"
)

const (
	// unackedBytesMax is how many bytes of rows may wait for their ack; Append waits beyond.
	unackedBytesMax = 32 << 20
	// unsentBytesMax is how many may wait for a stream that takes them: with more, many writers would only take up memory.
	unsentBytesMax = 2 * messageBytes
	// gatherBytesMax is from how many bytes on rows are a message by themselves: what is gathered is copied once more.
	gatherBytesMax = messageBytes / 8
)

// Writer saves a run while it is computed. It keeps what is not acknowledged, up to 32 MiB; when the connection or the daemon breaks
// it reconnects, opens the upload again and goes on at the row that the daemon asks for, for as long as [WithRetryFor] says. After
// another error every method gives that error; the rows that are durable stay, and the upload can be resumed with its id.
//
// All methods may be called at the same time; the rows of one Append stay together. Close it at the end, also after an error.
type Writer struct {
	client    *Client
	saving    saving
	variables []*pb.Variable
	// ctx is that of its streams.
	ctx    context.Context
	cancel context.CancelFunc
	// appending has room for who appends.
	appending chan struct{}
	// wake tells the goroutine that sends that there is something for it.
	wake chan struct{}

	mu sync.Mutex
	// changed is closed when anything below has changed; nil while nobody waits.
	changed  chan struct{}
	unacked  unacked
	gathered *gathered
	// appended is the number of rows that were taken.
	appended  uint64
	acked     uint64
	wantFlush bool
	// commit is the wish for one.
	commit     *pb.SaveCommit
	commitSent bool
	committed  *pb.Result
	failure    error
	closed     bool
	running    bool
	// opened says whether the stream that runs was answered, wasOpened whether any was.
	opened    bool
	wasOpened bool
	waits     retries
}

func newWriter(ctx context.Context, client *Client, saving saving) *Writer {
	w := &Writer{
		client: client, saving: saving, variables: saving.open.GetProblem().GetVariables(),
		appending: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	w.gathered = newGathered(w.variables)
	w.waits.giveUpAfter = client.retryFor
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return w
}

func (w *Writer) begin(ctx context.Context) error {
	w.mu.Lock()
	w.run()
	err := w.until(ctx, func() bool { return w.wasOpened })
	w.mu.Unlock()
	if err != nil {
		w.Abandon()
	}
	return err
}

// UploadID is the upload's id: with it the run is resumed after a restart of the solver.
func (w *Writer) UploadID() string { return w.saving.open.GetUploadId() }

// Problem is what is saved: its variables, in their order, are the values of AppendRow. It is not to be changed.
func (w *Writer) Problem() *Problem { return w.saving.open.GetProblem() }

// NextRow is the number of the row that the next Append begins with; after a resume, the number of durable rows.
func (w *Writer) NextRow() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.appended
}

// DurableRows is the number of rows that survive a crash of everything.
func (w *Writer) DurableRows() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// Committed gives the result once it is committed; of an upload that was committed before, from the beginning. Else nil.
func (w *Writer) Committed() *Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.committed
}

// Append adds rows, and returns when they are taken: they are durable by the next ack, Flush or Commit. It waits while 32 MiB
// are not acknowledged. Where ctx ends meanwhile, rows from [Writer.NextRow] on were not taken. [*UsageError] where a column does
// not fit, and nothing was taken.
func (w *Writer) Append(ctx context.Context, given Columns) error {
	columns, rows, err := columnsOf(w.variables, given)
	if err != nil || rows == 0 {
		return err
	}
	bytes := 0
	for i := range columns {
		size := columns[i].extent(0, rows)
		bytes += size.raw + size.utf8
	}
	if err := w.lockAppending(ctx); err != nil {
		return err
	}
	defer w.unlockAppending()
	if bytes < gatherBytesMax {
		return w.gather(ctx, func() { w.gathered.add(columns, rows, bytes) })
	}
	for from := 0; from < rows; {
		to := cut(columns, from, rows)
		if err := w.push(ctx, columns, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// AppendRow adds one row: a value for each variable of the problem, in its order; a float64, int64, int, bool or string, or nil
// where it is missing. Else it is as Append. Rows that come one by one go together as one message.
func (w *Writer) AppendRow(ctx context.Context, values ...any) error {
	bytes, err := checkRow(w.variables, values)
	if err != nil {
		return err
	}
	if err := w.lockAppending(ctx); err != nil {
		return err
	}
	defer w.unlockAppending()
	return w.gather(ctx, func() { w.gathered.addRow(values, bytes) })
}

// lockAppending waits for others who append, or the end of the context.
func (w *Writer) lockAppending(ctx context.Context) error {
	select {
	case w.appending <- struct{}{}:
		return nil
	default:
	}
	select {
	case w.appending <- struct{}{}:
		return nil
	case <-ctx.Done():
		return w.client.failed(ctx, ctx.Err())
	}
}

func (w *Writer) unlockAppending() { <-w.appending }

// gather adds a few rows to those that wait for company.
func (w *Writer) gather(ctx context.Context, add func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.untilRoom(ctx); err != nil {
		return err
	}
	wasEmpty := w.gathered.rows == 0
	before := w.gathered.rows
	add()
	w.appended += uint64(w.gathered.rows - before)
	if w.gathered.bytes >= messageBytes {
		w.closeGathered()
	}
	if wasEmpty || w.gathered.rows == 0 {
		w.run()
	}
	return nil
}

// push adds rows as one message.
func (w *Writer) push(ctx context.Context, columns []column, from, to int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.untilRoom(ctx); err != nil {
		return err
	}
	w.closeGathered()
	firstRow := w.appended
	// Nobody else appends meanwhile, and acks need not wait for the copy.
	w.mu.Unlock()
	message := encodeBatch(columns, firstRow, from, to)
	w.mu.Lock()
	end := firstRow + uint64(to-from)
	w.appended = max(w.appended, end)
	w.unacked.push(end, message)
	w.run()
	return nil
}

// untilRoom waits until more rows may be taken.
func (w *Writer) untilRoom(ctx context.Context) error {
	if err := w.check(); err != nil {
		return err
	}
	if w.committed != nil {
		return &Error{Code: codes.FailedPrecondition, Reason: "UPLOAD_COMMITTED",
			Message: "Upload " + w.UploadID() + " is committed and takes no more rows."}
	}
	if w.commit != nil {
		return usage("the writer is being committed and takes no more rows")
	}
	if err := ctx.Err(); err != nil {
		return w.client.failed(ctx, err)
	}
	if w.hasRoom() {
		return nil
	}
	return w.until(ctx, w.hasRoom)
}

func (w *Writer) hasRoom() bool {
	if w.unacked.bytes+w.gathered.bytes > unackedBytesMax {
		return false
	}
	// While no stream takes them, rows are kept as far as they may.
	return !w.opened || w.unacked.unsentBytes() <= unsentBytesMax
}

// closeGathered makes what was gathered a message.
func (w *Writer) closeGathered() {
	if w.gathered.rows == 0 {
		return
	}
	firstRow := w.appended - uint64(w.gathered.rows)
	w.unacked.push(w.appended, encodeBatch(w.gathered.columns, firstRow, 0, w.gathered.rows))
	w.gathered.reset()
}

// Flush returns when all rows that were appended are durable, and gives their number.
func (w *Writer) Flush(ctx context.Context) (durableRows uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.check(); err != nil {
		return w.acked, err
	}
	if rows := w.appended; w.acked < rows {
		w.wantFlush = true
		w.run()
		err = w.until(ctx, func() bool { return w.acked >= rows })
	}
	return w.acked, err
}

// Commit ends the run and makes it a result. It is idempotent: repeated, also by another writer of the same upload, it gives the same
// result. Where ctx ends meanwhile the commit may still happen; ask again. RESULT_SET_INVALID, TOO_MANY_RESULT_SETS,
// REVISION_MISMATCH.
func (w *Writer) Commit(ctx context.Context, options ...CommitOption) (*Result, error) {
	wanted := committing{commit: &pb.SaveCommit{Outcome: Finished}}
	for _, option := range options {
		option(&wanted)
	}
	if wanted.wrong != nil {
		return nil, wanted.wrong
	}
	// An Append that is under way comes first.
	if err := w.lockAppending(ctx); err != nil {
		return nil, err
	}
	defer w.unlockAppending()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.committed != nil {
		return w.committed, nil
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	if w.commit == nil {
		w.commit = wanted.commit
		w.commit.RowCount = w.appended
	}
	w.run()
	err := w.until(ctx, func() bool { return w.committed != nil })
	return w.committed, err
}

// Close lets go of the upload: what was appended is made durable, and it can be resumed by its id. Where the daemon is away it
// waits for it as long as [WithRetryFor] says; [Writer.Flush] with a context waits for less. It gives the error that kept rows
// from being durable. After a commit, or another Close, it does nothing.
func (w *Writer) Close() error {
	w.mu.Lock()
	isOver := w.closed || w.committed != nil
	w.mu.Unlock()
	var err error
	if !isOver {
		_, err = w.Flush(context.Background())
	}
	w.Abandon()
	return err
}

// Abandon lets go of the upload at once: rows that are not acknowledged are lost, and it can be resumed by its id.
func (w *Writer) Abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.cancel()
	w.notify()
	for w.running {
		changed := w.change()
		w.mu.Unlock()
		<-changed
		w.mu.Lock()
	}
}
