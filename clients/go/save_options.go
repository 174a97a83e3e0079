package optistore

import (
	"context"
	"crypto/rand"
	"fmt"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/protobuf/proto"
)

// SaveOption says more of a save than its key and problem.
type SaveOption interface{ toSave(*saving) }

type saving struct {
	open        *pb.SaveOpen
	attributes  map[string]any
	onAck       func(uint64)
	onReconnect func(error)
}

type saveOption func(*saving)

func (o saveOption) toSave(s *saving) { o(s) }

// WithUploadID names the upload, such as by the solver's own run id: an upload that exists is resumed. 1 to 128 bytes of
// `[A-Za-z0-9._:-]`. Default: a new UUID.
func WithUploadID(id string) SaveOption { return saveOption(func(s *saving) { s.open.UploadId = id }) }

// WithTags gives the result short labels.
func WithTags(tags map[string]string) SaveOption {
	return saveOption(func(s *saving) { s.open.Tags = tags })
}

// WithAttributes gives the result structured facts: nil, bool, numbers, string, []any and map[string]any.
func WithAttributes(attributes map[string]any) SaveOption {
	return saveOption(func(s *saving) { s.attributes = attributes })
}

// WithDescription gives the result free text.
func WithDescription(text string) SaveOption {
	return saveOption(func(s *saving) { s.open.Description = text })
}

// WithExpectedRevision lets the commit replace that revision only; 0: the key must not exist. REVISION_MISMATCH otherwise.
func WithExpectedRevision(revision uint64) SaveOption {
	return saveOption(func(s *saving) { s.open.ExpectedRevision = &revision })
}

// WithReplication says whether the result goes to the secondary as well. Default: as the daemon is configured.
func WithReplication(mode Replication) SaveOption {
	return saveOption(func(s *saving) { s.open.Replication = mode })
}

// ToCache keeps the result in memory alone, until it is migrated or deleted.
func ToCache() SaveOption { return saveOption(func(s *saving) { s.open.ToBackend = Cache }) }

// OnAck is told the number of durable rows, whenever it has grown. It must not call methods of the writer that
// wait or close.
func OnAck(told func(durableRows uint64)) SaveOption {
	return saveOption(func(s *saving) { s.onAck = told })
}

// ReconnectOption is a [SaveOption] and a [LoadOption].
type ReconnectOption func(error)

func (o ReconnectOption) toSave(s *saving)  { s.onReconnect = o }
func (o ReconnectOption) toLoad(l *loading) { l.onReconnect = o }

// OnReconnect is told why a stream broke that is about to be opened again. It must not call methods of the writer or reader that
// wait or close.
func OnReconnect(told func(err error)) ReconnectOption { return told }

// Save opens an upload, or resumes the one of [WithUploadID], and gives a writer of its rows. What is wrong with it, and a daemon
// that is away, are told at once. Without a problem an upload that exists can be committed, but takes no rows. The context is that of the opening alone; its values go with the stream. KEY_INVALID,
// PROBLEM_INVALID, UPLOAD_CONFLICT, REVISION_MISMATCH, TOO_MANY_UPLOADS.
func (c *Client) Save(ctx context.Context, key string, problem *Problem, options ...SaveOption) (*Writer, error) {
	return c.openUpload(ctx, &pb.SaveOpen{Key: key, Problem: problem}, options)
}

// Append opens an upload of rows that are to come behind those that a key has: [Writer.NextRow] is their number, and rows have the
// same columns. It goes with all that goes with [Client.Save]. RESULT_NOT_FOUND.
func (c *Client) Append(ctx context.Context, key string, options ...SaveOption) (*Writer, error) {
	result, err := c.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return c.openUpload(ctx, &pb.SaveOpen{Key: key, Problem: result.GetProblem(), Append: true}, options)
}

func (c *Client) openUpload(ctx context.Context, open *pb.SaveOpen, options []SaveOption) (*Writer, error) {
	saving := saving{open: open}
	for _, option := range options {
		option.toSave(&saving)
	}
	var err error
	if open.Attributes, err = structOf(saving.attributes); err != nil {
		return nil, err
	}
	if open.UploadId == "" {
		open.UploadId = newUUID()
	}
	// The caller's problem may change while the writer lives.
	saving.open = proto.CloneOf(open)
	writer := newWriter(ctx, c, saving)
	if err := writer.begin(ctx); err != nil {
		return nil, err
	}
	return writer, nil
}

func newUUID() string {
	var bytes [16]byte
	_, _ = rand.Read(bytes[:])
	bytes[6], bytes[8] = bytes[6]&0x0f|0x40, bytes[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", bytes[:4], bytes[4:6], bytes[6:8], bytes[8:10], bytes[10:])
}

// CommitOption says more of a result at its commit.
type CommitOption func(*committing)

type committing struct {
	commit *pb.SaveCommit
	wrong  error
}

// WithOutcome says how the run ended. Default: Finished.
func WithOutcome(outcome Outcome) CommitOption {
	return func(c *committing) { c.commit.Outcome = outcome }
}

// WithSet makes a named subset of the result's rows with the commit. May be given several times.
func WithSet(set Set) CommitOption {
	return func(c *committing) {
		rows, err := rowNumbers(set)
		if err == nil && (rows == nil || set.ExpectedRevision != nil) {
			err = usage("the set %q is made of rows at a commit, without an operation and a revision", set.Name)
		}
		if err != nil {
			c.wrong = err
			return
		}
		c.commit.ResultSets = append(c.commit.ResultSets, &pb.ResultSet{
			Name: set.Name, Rows: rows, CreatedBy: set.CreatedBy, Description: set.Description,
		})
	}
}
