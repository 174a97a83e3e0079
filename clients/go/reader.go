package optistore

import (
	"context"
	"errors"
	"io"
	"iter"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Reader is a load: its rows are read once. A connection that breaks is made again, and the load goes on where it was, in the
// same revision. Rows come in order, each is checked against its checksum, and only as fast as they are read: a few MiB are on
// the way. It is for one goroutine at a time.
type Reader struct {
	client      *Client
	ctx         context.Context
	request     *pb.LoadResultRequest
	onReconnect func(error)
	waits       retries

	stream  grpc.ServerStreamingClient[pb.LoadResultResponse]
	cancel  context.CancelFunc
	header  *pb.LoadHeader
	nextRow uint64
	end     uint64
	// committed is what a save that was followed became.
	committed *pb.Result
	// ended is what Next gives from then on.
	ended error
}

// Header tells what is loaded: the result, its columns and how many rows come.
func (r *Reader) Header() *Header { return r.header }

// NextRow is the number of the row that the next batch begins with; of a result set or a sample, its
// position in that.
func (r *Reader) NextRow() uint64 { return r.nextRow }

// Committed gives, of a save that is followed, the result that it was committed as; nil before all rows were read.
func (r *Reader) Committed() *Result { return r.committed }

// Close ends the load. It does nothing after its end.
func (r *Reader) Close() {
	if r.ended == nil {
		r.ended = usage("the reader is closed")
	}
	r.endStream()
}

// Next gives the next rows; io.EOF behind the last. RESULT_CORRUPT and DATA_LOSS where rows are damaged, and what [Client.Load]
// gives.
func (r *Reader) Next() (*Batch, error) {
	for r.ended == nil {
		batch, err := r.receive()
		if err == nil && batch == nil {
			continue
		}
		if err == nil {
			return batch, nil
		}
		if err != io.EOF {
			err = r.reconnect(err)
		}
		if err != nil {
			r.ended = err
			r.endStream()
		}
	}
	return nil, r.ended
}

// Batches iterates over the rows, batch by batch. An error is the last that it gives. When the loop is left the load is closed.
func (r *Reader) Batches() iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		defer r.Close()
		for {
			batch, err := r.Next()
			if err == io.EOF || !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// ReadAll gives all rows that are left as one batch, and closes the load.
func (r *Reader) ReadAll() (*Batch, error) {
	defer r.Close()
	firstRow := r.nextRow
	all := newJoined(r.header.GetVariables(), r.end-firstRow)
	for {
		batch, err := r.Next()
		if err == io.EOF {
			return all.batch(firstRow), nil
		}
		if err == nil {
			err = all.add(batch)
		}
		if err != nil {
			return nil, err
		}
	}
}

// open calls for the rows that are left, and reads the header.
func (r *Reader) open() error {
	running, cancel := context.WithCancel(r.ctx)
	r.cancel = cancel
	var err error
	if r.stream, err = r.client.rpc.LoadResult(running, r.remaining(), grpc.ForceCodecV2(rowsCodec{})); err != nil {
		return err
	}
	var first loaded
	if err := r.stream.RecvMsg(&first); err != nil {
		return err
	}
	if first.header == nil {
		return dataLoss("The load did not begin with a header.")
	}
	if r.header == nil {
		r.header = first.header
		r.nextRow = first.header.GetFirstRow()
		r.end = r.nextRow + first.header.GetRowCount()
	}
	return nil
}

func (r *Reader) endStream() {
	if r.cancel != nil {
		r.cancel()
	}
}

func (r *Reader) remaining() *pb.LoadResultRequest {
	if r.header == nil {
		return r.request
	}
	request := proto.CloneOf(r.request)
	request.FirstRow = &r.nextRow
	if request.Follow {
		request.UploadId = r.header.GetResult().GetUploadId()
		return request
	}
	count, revision := r.end-r.nextRow, r.header.GetResult().GetRevision()
	request.RowCount, request.Revision = &count, &revision
	return request
}

// receive gives the next batch; nil for a sign of life, io.EOF after the last row.
func (r *Reader) receive() (*Batch, error) {
	var response loaded
	if err := r.stream.RecvMsg(&response); err == io.EOF {
		return nil, endedEarly("The load ended before its last row.")
	} else if err != nil {
		return nil, err
	}
	switch {
	case response.batch != nil:
		r.waits.succeeded()
		if response.batch.rows == 0 && r.request.Follow {
			return nil, nil
		}
		return r.take(response.batch)
	case response.trailer != nil:
		if !r.request.Follow && r.nextRow != r.end {
			return nil, endedEarly("The load ended before its last row.")
		}
		r.committed = response.trailer.GetResult()
		// Whatever the status is, all rows are there.
		_ = r.stream.RecvMsg(&loaded{})
		return nil, io.EOF
	default:
		return nil, nil
	}
}

func (r *Reader) take(wire *wireBatch) (*Batch, error) {
	isBeyond := !r.request.Follow && r.end-r.nextRow < uint64(wire.rows)
	if wire.firstRow != r.nextRow || wire.rows == 0 || isBeyond {
		return nil, dataLoss("%d rows from row %d came where row %d of %d is next.", wire.rows, wire.firstRow, r.nextRow, r.end)
	}
	if err := wire.check(r.header.GetVariables()); err != nil {
		return nil, err
	}
	wanted := 0
	if r.hasRowNumbers() {
		wanted = wire.rows * 8
	}
	if len(wire.rowNumbers) != wanted {
		return nil, dataLoss("The batch at row %d has %d bytes of row numbers; %d fit its rows.", wire.firstRow, len(wire.rowNumbers), wanted)
	}
	batch := &Batch{FirstRow: wire.firstRow, RowCount: wire.rows, Variables: r.header.GetVariables(), columns: wire.columns}
	if wire.rowNumbers != nil {
		batch.RowNumbers = numbersOf[uint64](wire.rowNumbers)
	}
	r.nextRow += uint64(wire.rows)
	return batch, nil
}

// hasRowNumbers says whether rows are told by their numbers: those of a set, and of a sample, are.
func (r *Reader) hasRowNumbers() bool {
	return r.request.ResultSet != "" || r.header.GetSample() != nil
}

// reconnect opens the load again after an error, as often as it takes; it gives the error that ends it.
func (r *Reader) reconnect(err error) error {
	for {
		r.endStream()
		err = r.client.failed(r.ctx, err)
		var known *Error
		if !errors.As(err, &known) || !(known.Retryable() || r.isForgotten(known)) {
			return err
		}
		if r.onReconnect != nil {
			r.onReconnect(err)
		}
		if failure := r.waits.wait(r.ctx, r.client.closing, err); failure != nil {
			return r.client.failed(r.ctx, failure)
		}
		if err = r.open(); err == nil {
			return nil
		}
	}
}

// isForgotten says whether an upload that had no durable row was forgotten with its daemon; its writer opens it again.
func (r *Reader) isForgotten(err *Error) bool {
	hadNoRows := r.header.GetResult().GetRowCount() == 0 && r.nextRow == r.header.GetFirstRow()
	return r.request.Follow && err.Reason == "UPLOAD_NOT_FOUND" && hadNoRows
}
