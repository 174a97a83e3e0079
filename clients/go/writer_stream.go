package optistore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// lingering is how long a few rows wait for company: acks wait longer anyway.
const lingering = time.Millisecond

// lingeringBytesMax is from how many bytes on they do not wait.
const lingeringBytesMax = messageBytes / 4

type saveStream = grpc.BidiStreamingClient[pb.SaveResultRequest, pb.SaveResultResponse]

// What follows is called with the mutex held, where it does not say otherwise.

func (w *Writer) check() error {
	if w.failure != nil {
		return w.failure
	}
	if w.closed {
		return usage("the writer is closed")
	}
	return nil
}

// change gives a channel that is closed by the next change.
func (w *Writer) change() <-chan struct{} {
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed
}

func (w *Writer) notify() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
	w.wakeSender()
}

func (w *Writer) wakeSender() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// until waits for something to be so; the mutex is let go of meanwhile.
func (w *Writer) until(ctx context.Context, isSo func() bool) error {
	for !isSo() {
		if err := w.check(); err != nil {
			return err
		}
		changed := w.change()
		w.mu.Unlock()
		select {
		case <-changed:
			w.mu.Lock()
		case <-ctx.Done():
			w.mu.Lock()
			return w.client.failed(ctx, ctx.Err())
		}
	}
	return nil
}

func (w *Writer) hasWork() bool {
	return w.wantFlush || w.commit != nil || w.gathered.rows > 0 || w.unacked.hasUnsent()
}

// run sees to it that a stream runs. One that ended as idle is opened again only now, when there is something to send.
func (w *Writer) run() {
	w.wakeSender()
	if !w.running {
		w.running = true
		go w.runStreams()
	}
}

// runStreams is a goroutine: one stream after the other, until the run is committed, closed or can't go on.
func (w *Writer) runStreams() {
	for {
		err := w.client.failed(w.ctx, w.runStream())
		w.mu.Lock()
		isOver := err == nil || w.closed || w.committed != nil
		var known *Error
		// Before the first answer nothing is under way: the caller is told at once.
		if !isOver && (!errors.As(err, &known) || !known.Retryable() || !w.wasOpened) {
			w.failure, isOver = err, true
		}
		w.unacked.sendAgain()
		w.commitSent = false
		if isOver || (known.Reason == "STREAM_IDLE" && !w.hasWork()) {
			w.running = false
			w.notify()
			w.mu.Unlock()
			return
		}
		hint := fmt.Sprintf(" %d rows are safe; resume with upload id %s.", w.acked, w.UploadID())
		w.mu.Unlock()
		if w.saving.onReconnect != nil {
			w.saving.onReconnect(err)
		}
		final := &Error{known.Code, known.Reason, known.Metadata, known.Message + hint, known}
		if err := w.waits.wait(w.ctx, w.client.closing, final); err != nil {
			w.mu.Lock()
			if w.running = false; !w.closed {
				w.failure = w.client.failed(w.ctx, err)
			}
			w.notify()
			w.mu.Unlock()
			return
		}
	}
}

// runStream opens the upload and sends what there is. It is called without the mutex.
func (w *Writer) runStream() error {
	running, cancel := context.WithCancel(w.ctx)
	defer cancel()
	stream, err := w.client.rpc.SaveResult(running, grpc.ForceCodecV2(rowsCodec{}))
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- w.receive(stream, cancel) }()
	_ = stream.SendMsg(&pb.SaveResultRequest{Message: &pb.SaveResultRequest_Open{Open: w.saving.open}})
	// What sending fails with is told by what is received.
	w.send(stream, running)
	return <-received
}

// receive takes what the daemon says, until the stream ends. It is called without the mutex.
func (w *Writer) receive(stream saveStream, cancel context.CancelFunc) error {
	// Who sends is let go of.
	defer cancel()
	defer func() {
		w.mu.Lock()
		w.opened = false
		w.notify()
		w.mu.Unlock()
	}()
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			if w.Committed() != nil {
				return nil
			}
			return endedEarly("The save ended before its commit.")
		}
		if err == nil {
			err = w.take(response)
		}
		if err != nil {
			return err
		}
	}
}

// take takes an answer. It is called without the mutex.
func (w *Writer) take(response *pb.SaveResultResponse) error {
	w.mu.Lock()
	before := w.acked
	var err error
	switch message := response.GetMessage().(type) {
	case *pb.SaveResultResponse_Opened:
		err = w.resumeAt(message.Opened.GetNextRow(), message.Opened.GetCommitted())
	case *pb.SaveResultResponse_Ack:
		w.ackTo(message.Ack.GetDurableRowCount())
	case *pb.SaveResultResponse_Committed:
		w.committed = message.Committed.GetResult()
		w.ackTo(w.appended)
	}
	acked := w.acked
	w.notify()
	w.mu.Unlock()
	if acked > before && w.saving.onAck != nil {
		w.saving.onAck(acked)
	}
	return err
}

func (w *Writer) resumeAt(nextRow uint64, committed *pb.Result) error {
	if nextRow < w.acked {
		return dataLoss("The daemon has %d rows of upload %s, but had acknowledged %d: its data was lost or replaced.", nextRow, w.UploadID(), w.acked)
	}
	// After the first answer nobody else adds rows, but who has opened the upload meanwhile.
	if sentTo := max(w.unacked.sentTo, w.acked); w.wasOpened && nextRow > sentTo {
		return &Error{Code: codes.Aborted, Reason: "UPLOAD_TAKEN_OVER", Message: fmt.Sprintf(
			"Upload %s has %d rows, where this writer has sent %d: another one has taken it over.", w.UploadID(), nextRow, sentTo)}
	}
	w.appended = max(w.appended, nextRow)
	w.ackTo(nextRow)
	w.unacked.sendAgain()
	w.opened, w.wasOpened = true, true
	// One that is opened for rows may break on them, each time.
	if !w.hasWork() {
		w.waits.succeeded()
	}
	// Who wants to commit asks once more, and is answered with the result. Who has more rows sends them, and is told that they
	// come too late.
	if w.commit == nil && len(w.unacked.messages) == 0 && w.gathered.rows == 0 {
		w.committed = committed
	}
	return nil
}

func (w *Writer) ackTo(rows uint64) {
	if rows > w.acked {
		w.acked = rows
		w.waits.succeeded()
		w.unacked.ackTo(rows)
	}
}

// send sends what is there, at the pace of the daemon, until the stream has ended. It is called without the mutex.
func (w *Writer) send(stream saveStream, running context.Context) {
	var lingered *time.Timer
	for running.Err() == nil {
		if w.Committed() != nil {
			// An upload that was committed before is held open by the daemon until this.
			_ = stream.CloseSend()
			return
		}
		message, waits := w.next()
		var err error
		switch {
		case message != nil:
			err = stream.SendMsg(message)
			lingered = nil
		case waits && lingered == nil:
			lingered = time.NewTimer(lingering)
		case waits:
			select {
			case <-lingered.C:
				lingered = nil
				w.mu.Lock()
				w.closeGathered()
				w.mu.Unlock()
			case <-w.wake:
			case <-running.Done():
			}
		default:
			select {
			case <-w.wake:
			case <-running.Done():
			}
		}
		if err != nil {
			return
		}
	}
}

// next gives what is to be sent next; nil where there is nothing, or only a few rows that wait for company. It is called without
// the mutex.
func (w *Writer) next() (message any, waits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.opened {
		return nil, false
	}
	if !w.unacked.hasUnsent() && w.gathered.rows > 0 {
		if !w.wantFlush && w.commit == nil && w.gathered.bytes < lingeringBytesMax {
			return nil, true
		}
		w.closeGathered()
	}
	if w.unacked.hasUnsent() {
		message := w.unacked.next()
		if w.changed != nil && w.hasRoom() {
			w.notify()
		}
		return message, false
	}
	if w.wantFlush {
		w.wantFlush = false
		return &pb.SaveResultRequest{Message: &pb.SaveResultRequest_Flush{Flush: &pb.SaveFlush{}}}, false
	}
	if w.commit != nil && !w.commitSent {
		w.commitSent = true
		return &pb.SaveResultRequest{Message: &pb.SaveResultRequest_Commit{Commit: w.commit}}, false
	}
	return nil, false
}
