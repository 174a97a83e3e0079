package optistore_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	optistore "github.com/optistore/optistore/clients/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestANewClientResumesByTheUploadID(t *testing.T) {
	first := dial(t, "")
	writer := ok(first.Save(t.Context(), nameOf(t), xAndLabel(), optistore.WithUploadID(nameOf(t))))(t)
	must(t, writer.Append(t.Context(), numbered(0, 1000)))
	must(t, writer.Close())
	expectUsage(t, writer.AppendRow(t.Context(), 1.0, "1"), "closed")

	second := dial(t, "")
	writer = ok(second.Save(t.Context(), nameOf(t), xAndLabel(), optistore.WithUploadID(nameOf(t))))(t)
	defer writer.Close()
	expectEqual(t, writer.NextRow(), uint64(1000))
	expectEqual(t, writer.DurableRows(), uint64(1000))
	must(t, writer.Append(t.Context(), numbered(1000, 500)))
	expectEqual(t, ok(writer.Flush(t.Context()))(t), uint64(1500))
	expectEqual(t, ok(writer.Commit(t.Context()))(t).GetRowCount(), uint64(1500))
	expectNumbered(t, ok(ok(second.Load(t.Context(), nameOf(t)))(t).ReadAll())(t), 0, 1500)
}

func TestACommitIsRepeated(t *testing.T) {
	client := dial(t, "")
	writer := ok(client.Save(t.Context(), nameOf(t), xAndLabel(), optistore.WithUploadID(nameOf(t))))(t)
	must(t, writer.Append(t.Context(), numbered(0, 10)))
	result := ok(writer.Commit(t.Context(), optistore.WithOutcome(optistore.Stopped)))(t)
	expectEqual(t, result.GetOutcome(), optistore.Stopped)
	if ok(writer.Commit(t.Context()))(t) != result {
		t.Fatal("another result")
	}
	expectReason(t, writer.Append(t.Context(), numbered(10, 1)), "UPLOAD_COMMITTED")
	must(t, writer.Close())

	again := ok(client.Save(t.Context(), nameOf(t), xAndLabel(), optistore.WithUploadID(nameOf(t))))(t)
	expectEqual(t, again.Committed().GetRevision(), result.GetRevision())
	expectEqual(t, ok(again.Commit(t.Context()))(t).GetRevision(), result.GetRevision())
	expectReason(t, again.AppendRow(t.Context(), 1.0, ""), "UPLOAD_COMMITTED")
	must(t, again.Close())
}

func TestWhoIsTakenOverEnds(t *testing.T) {
	client := dial(t, "")
	first := ok(client.Save(t.Context(), nameOf(t), xAndLabel(), optistore.WithUploadID(nameOf(t))))(t)
	must(t, first.Append(t.Context(), numbered(0, 10)))
	ok(first.Flush(t.Context()))(t)
	second := ok(client.Save(t.Context(), nameOf(t), xAndLabel(), optistore.WithUploadID(nameOf(t))))(t)
	defer second.Close()
	expectEqual(t, second.NextRow(), uint64(10))
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := first.AppendRow(t.Context(), 1.0, "")
		if err != nil {
			expectReason(t, err, "UPLOAD_TAKEN_OVER")
			expectEqual(t, status.Code(err), codes.Aborted)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it was not taken over")
		}
		time.Sleep(time.Millisecond)
	}
	expectReason(t, first.Close(), "UPLOAD_TAKEN_OVER")
	_, err := first.Commit(t.Context())
	expectReason(t, err, "UPLOAD_TAKEN_OVER")
	ok(second.Commit(t.Context()))(t)
}

func TestADaemonIsKilledInTheMiddleOfASave(t *testing.T) {
	running, restart := killable(t)
	client := dial(t, running.address)
	var reconnects atomic.Int64
	var acked atomic.Uint64
	writer := ok(client.Save(t.Context(), "k", xAndLabel(),
		optistore.OnReconnect(func(error) { reconnects.Add(1) }),
		optistore.OnAck(func(rows uint64) { acked.Store(rows) })))(t)
	defer writer.Close()
	const rows = 400_000
	for round := range 2 {
		for n := range rows / 4 {
			row := round*rows/2 + n
			must(t, writer.AppendRow(t.Context(), float64(row), itoa(row)))
		}
		running.kill()
		// It keeps what it is given while nobody is there, large pieces too.
		must(t, writer.Append(t.Context(), numbered(round*rows/2+rows/4, rows/4)))
		restart()
	}
	result := ok(writer.Commit(t.Context()))(t)
	expectEqual(t, result.GetRowCount(), uint64(rows))
	expectEqual(t, acked.Load(), uint64(rows))
	if reconnects.Load() < 2 {
		t.Fatal("it did not reconnect")
	}
	expectNumbered(t, ok(ok(client.Load(t.Context(), "k"))(t).ReadAll())(t), 0, rows)
}

func TestADaemonIsKilledInTheMiddleOfALoad(t *testing.T) {
	running, restart := killable(t)
	client := dial(t, running.address)
	const rows = 1_500_000
	writer := ok(client.Save(t.Context(), "k", xAndLabel()))(t)
	must(t, writer.Append(t.Context(), numbered(0, rows)))
	ok(writer.Commit(t.Context()))(t)

	reconnects := 0
	reader := ok(client.Load(t.Context(), "k", optistore.OnReconnect(func(error) { reconnects++ })))(t)
	next := 0
	for batch, err := range reader.Batches() {
		must(t, err)
		expectNumbered(t, batch, next, batch.RowCount)
		if next == 0 {
			running.kill()
			restart()
		}
		next += batch.RowCount
	}
	expectEqual(t, next, rows)
	if reconnects == 0 {
		t.Fatal("it did not reconnect")
	}
}

func TestADaemonIsKilledInTheMiddleOfALoadOfASample(t *testing.T) {
	running, restart := killable(t)
	client := dial(t, running.address)
	writer := ok(client.Save(t.Context(), "k", xAndLabel()))(t)
	must(t, writer.Append(t.Context(), numbered(0, 700_000)))
	ok(writer.Commit(t.Context()))(t)
	whole := ok(ok(client.Load(t.Context(), "k", optistore.WithSampleRows(600_000)))(t).ReadAll())(t)

	reconnects := 0
	reader := ok(client.Load(t.Context(), "k", optistore.WithSampleRows(600_000), optistore.OnReconnect(func(error) { reconnects++ })))(t)
	var rows []uint64
	for batch, err := range reader.Batches() {
		must(t, err)
		expectEqual(t, batch.FirstRow, uint64(len(rows)))
		if len(rows) == 0 {
			running.kill()
			restart()
		}
		for i, x := range ok(batch.Float64("x"))(t).Values {
			if x != float64(batch.RowNumbers[i]) {
				t.Fatalf("row %d has the values of row %v", batch.RowNumbers[i], x)
			}
		}
		rows = append(rows, batch.RowNumbers...)
	}
	expectEqual(t, uint64(len(rows)), reader.Header().GetSample().GetRowCount())
	expectEqual(t, rows, whole.RowNumbers)
	if reconnects == 0 {
		t.Fatal("it did not reconnect")
	}
}

func TestWhoCannotReconnectIsToldHowToResume(t *testing.T) {
	running, restart := killable(t)
	client := dial(t, running.address, optistore.WithRetryFor(200*time.Millisecond))
	writer := ok(client.Save(t.Context(), "k", xAndLabel(), optistore.WithUploadID("mine")))(t)
	must(t, writer.Append(t.Context(), numbered(0, 10)))
	ok(writer.Flush(t.Context()))(t)
	running.kill()
	must(t, writer.Append(t.Context(), numbered(10, 10)))
	_, err := writer.Commit(t.Context())
	var known *optistore.Error
	if !errors.As(err, &known) || known.Code != codes.Unavailable || status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	if want := "10 rows are safe; resume with upload id mine."; !contains(err, want) {
		t.Fatal(err)
	}
	if err := writer.Close(); !contains(err, "mine") {
		t.Fatal(err)
	}
	// Nothing is under way yet: it is told at once.
	patient := dial(t, running.address)
	began := time.Now()
	if _, err := patient.Save(t.Context(), "k", xAndLabel()); status.Code(err) != codes.Unavailable || time.Since(began) > 10*time.Second {
		t.Fatal(err, time.Since(began))
	}
	if _, err := patient.Load(t.Context(), "k"); !contains(err, "optistore serve") {
		t.Fatal(err)
	}
	restart()
	for {
		// It knows of the failure until it has tried again, within 2 s.
		if writer, err = patient.Save(t.Context(), "k", xAndLabel(), optistore.WithUploadID("mine")); err == nil {
			break
		}
		expectEqual(t, status.Code(err), codes.Unavailable)
		time.Sleep(20 * time.Millisecond)
	}
	expectEqual(t, writer.NextRow(), uint64(10))
	must(t, writer.Close())
}

func TestDataThatWasLostIsTold(t *testing.T) {
	running, _ := killable(t)
	client := dial(t, running.address)
	writer := ok(client.Save(t.Context(), "k", xAndLabel()))(t)
	must(t, writer.Append(t.Context(), numbered(0, 10)))
	ok(writer.Flush(t.Context()))(t)
	running.kill()
	// Another daemon takes its place, which knows nothing of it.
	other := ok(startDaemon("--path", t.TempDir(), "--listen", running.address))(t)
	t.Cleanup(other.kill)
	for {
		if _, err := writer.Flush(t.Context()); err != nil {
			expectEqual(t, status.Code(err), codes.DataLoss)
			break
		}
		must(t, writer.AppendRow(t.Context(), 1.0, ""))
	}
	writer.Abandon()
}

func TestAnIdleStreamIsOpenedAgainByTheNextAppend(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	daemon, err := startDaemon("--config", write(t, folder, "c.yaml", `{"primary": {"type": "leveldb", "path": "`+folder+`/data"}, "listen": "127.0.0.1:0", "stream_idle_timeout": "1s"}`))
	must(t, err)
	t.Cleanup(daemon.kill)
	client := dial(t, daemon.address)
	var reconnects atomic.Int64
	writer := ok(client.Save(t.Context(), "k", xAndLabel(), optistore.OnReconnect(func(error) { reconnects.Add(1) })))(t)
	must(t, writer.Append(t.Context(), numbered(0, 10)))
	ok(writer.Flush(t.Context()))(t)
	time.Sleep(2500 * time.Millisecond)
	expectEqual(t, reconnects.Load(), int64(0))
	must(t, writer.Append(t.Context(), numbered(10, 10)))
	expectEqual(t, ok(writer.Commit(t.Context()))(t).GetRowCount(), uint64(20))
	must(t, writer.Close())
}

func TestAContextEndsWhatWaits(t *testing.T) {
	running, _ := killable(t)
	client := dial(t, running.address)
	writer := ok(client.Save(t.Context(), "k", xAndLabel()))(t)
	running.kill()
	cancelled, cancel := context.WithCancel(t.Context())
	go func() {
		for writer.NextRow() == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond)
		cancel()
	}()
	// More than it keeps without an ack: the rest waits.
	err := writer.Append(cancelled, numbered(0, 3_000_000))
	if !errors.Is(err, context.Canceled) || status.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
	ended, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if taken := writer.NextRow(); taken == 0 || taken >= 3_000_000 {
		t.Fatalf("%d rows were taken", taken)
	}
	if _, err := writer.Flush(ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if _, err := writer.Commit(ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	writer.Abandon()
}

func TestALoadEndsWithItsContext(t *testing.T) {
	client := dial(t, "")
	key := save(t, client, 1_000_000)
	running, cancel := context.WithCancel(t.Context())
	reader := ok(client.Load(running, key))(t)
	ok(reader.Next())(t)
	cancel()
	var err error
	for err == nil {
		_, err = reader.Next()
	}
	if !errors.Is(err, context.Canceled) || status.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
	if _, err = reader.Next(); err == io.EOF || err == nil {
		t.Fatal("it goes on")
	}
}

func TestAWriterThatWasIdleWhileAnotherHadItsUploadIsTold(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	daemon, err := startDaemon("--config", write(t, folder, "c.yaml", `{"primary": {"type": "leveldb", "path": "`+folder+`/data"}, "listen": "127.0.0.1:0", "stream_idle_timeout": "1s"}`))
	must(t, err)
	t.Cleanup(daemon.kill)
	client, other := dial(t, daemon.address), dial(t, daemon.address)
	for reason, meanwhile := range map[string]func(*optistore.Writer){
		"UPLOAD_COMMITTED":  func(writer *optistore.Writer) { ok(writer.Commit(t.Context()))(t) },
		"UPLOAD_TAKEN_OVER": func(writer *optistore.Writer) { must(t, writer.Append(t.Context(), numbered(1, 3))) },
	} {
		writer := ok(client.Save(t.Context(), reason, xAndLabel(), optistore.WithUploadID(reason)))(t)
		must(t, writer.Append(t.Context(), numbered(0, 1)))
		ok(writer.Flush(t.Context()))(t)
		waitUntilNoStream(t, client)
		intruder := ok(other.Save(t.Context(), reason, xAndLabel(), optistore.WithUploadID(reason)))(t)
		meanwhile(intruder)
		must(t, intruder.Close())
		must(t, writer.Append(t.Context(), numbered(1, 7)))
		_, err := writer.Flush(t.Context())
		expectEqual(t, optistore.ReasonOf(err), reason)
		_ = writer.Close()
	}
}

// waitUntilNoStream waits until the daemon has let go of all that is idle.
func waitUntilNoStream(t *testing.T, client *optistore.Client) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		streams := 0
		for upload, err := range client.ListUploads(t.Context(), "") {
			must(t, err)
			if upload.GetHasStream() {
				streams++
			}
		}
		if streams == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a stream stays open")
		}
	}
}
