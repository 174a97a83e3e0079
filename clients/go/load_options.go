package optistore

import (
	"context"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

// LoadOption says what to load.
type LoadOption interface{ toLoad(*loading) }

type loading struct {
	request     *pb.LoadResultRequest
	onReconnect func(error)
	wrong       error
}

type loadOption func(*loading)

func (o loadOption) toLoad(l *loading) { o(l) }

// WithColumns loads these columns, in this order. Default: all.
func WithColumns(names ...string) LoadOption {
	return loadOption(func(l *loading) { l.request.Columns = names })
}

// WithRows loads rows from first, to before end; of a result set or a sample, positions in it. Default: all.
func WithRows(first, end uint64) LoadOption {
	return loadOption(func(l *loading) {
		count := max(end, first) - first
		l.request.FirstRow, l.request.RowCount = &first, &count
	})
}

// WithFirstRow loads rows from this one to the end; goes with [WithFollow].
func WithFirstRow(first uint64) LoadOption {
	return loadOption(func(l *loading) { l.request.FirstRow, l.request.RowCount = &first, nil })
}

// WithRevision loads that revision. Default: the newest.
func WithRevision(revision uint64) LoadOption {
	return loadOption(func(l *loading) { l.request.Revision = &revision })
}

// WithResultSet loads only the rows of a named set; [Batch.RowNumbers] tells which they are.
func WithResultSet(name string) LoadOption {
	return loadOption(func(l *loading) {
		if l.request.ResultSet = name; name == "" {
			// It would be no set at all, and load every row.
			l.wrong = usage("a result set has a name; leave WithResultSet out to load all rows")
		}
	})
}

// WithSampleRows loads a sample of at most so many rows, where the result has more: front, improvements and extremes, and the rest
// evenly spread. [Header].Sample tells what was chosen, nil that all rows come; [Batch.RowNumbers] tells which they are. 1,000 to
// 1,000,000; 0 is all rows. Not with [WithResultSet] and [WithFollow].
func WithSampleRows(rowsMax uint32) LoadOption {
	return loadOption(func(l *loading) { l.request.SampleRows = rowsMax })
}

// WithFollow tails a save in progress: rows as they are acknowledged, until its commit. uploadID says which; empty: the one of the
// key that was opened last. It goes with [WithColumns], [WithFirstRow] and [WithMaxBatchBytes].
func WithFollow(uploadID string) LoadOption {
	return loadOption(func(l *loading) { l.request.Follow, l.request.UploadId = true, uploadID })
}

// WithFrom loads only from this store. Default: whichever can serve it, the cache first.
func WithFrom(store Backend) LoadOption {
	return loadOption(func(l *loading) { l.request.Backend = store })
}

// WithMaxBatchBytes sets the largest size of a batch: 64 KiB to 3 MiB. Default: 1 MiB.
func WithMaxBatchBytes(bytes uint32) LoadOption {
	return loadOption(func(l *loading) { l.request.MaxBatchBytes = bytes })
}

// Load begins to load rows; a header has come when it returns. Read the rows by [Reader.Batches], [Reader.Next] or
// [Reader.ReadAll], or Close the reader. The load ends when ctx ends. RESULT_NOT_FOUND, REVISION_NOT_FOUND, COLUMN_NOT_FOUND,
// RESULT_SET_NOT_FOUND, ROW_RANGE_INVALID, UPLOAD_NOT_FOUND, RESULT_CORRUPT.
func (c *Client) Load(ctx context.Context, key string, options ...LoadOption) (*Reader, error) {
	loading := loading{request: &pb.LoadResultRequest{Key: key}}
	for _, option := range options {
		option.toLoad(&loading)
	}
	if loading.wrong != nil {
		return nil, loading.wrong
	}
	reader := &Reader{client: c, ctx: ctx, request: loading.request, onReconnect: loading.onReconnect}
	reader.waits.giveUpAfter = c.retryFor
	if err := reader.open(); err != nil {
		reader.Close()
		return nil, c.failed(ctx, err)
	}
	return reader, nil
}
