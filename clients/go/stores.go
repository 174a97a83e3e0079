package optistore

import (
	"context"
	"iter"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

// CopyOptions says how a result is copied or moved.
type CopyOptions struct {
	// Revision is the one that is copied; only the newest can be moved. Nil: the newest.
	Revision *uint64
	// ExpectedRevision is that of the other key, which is replaced. Nil: that key must not exist.
	ExpectedRevision *uint64
	// OnProgress is told how far it is, at least every second.
	OnProgress func(copiedRows, rows uint64)
}

// Copy copies a result to another key, and gives the copy. RESULT_NOT_FOUND, REVISION_NOT_FOUND, REVISION_MISMATCH.
func (c *Client) Copy(ctx context.Context, key, toKey string, options CopyOptions) (*Result, error) {
	return c.copy(ctx, options, &pb.CopyResultRequest{Key: key, ToKey: toKey})
}

// Move gives a result another key. The old one is deleted once the copy was verified; REVISION_MISMATCH where it was changed
// meanwhile.
func (c *Client) Move(ctx context.Context, key, toKey string, options CopyOptions) (*Result, error) {
	return c.copy(ctx, options, &pb.CopyResultRequest{Key: key, ToKey: toKey, RemoveSource: true})
}

func (c *Client) copy(ctx context.Context, options CopyOptions, request *pb.CopyResultRequest) (*Result, error) {
	request.Revision, request.ExpectedRevision = options.Revision, options.ExpectedRevision
	for response, err := range stream(ctx, c, c.rpc.CopyResult, request) {
		if err != nil {
			return nil, err
		}
		if options.OnProgress != nil {
			options.OnProgress(response.GetCopiedRowCount(), response.GetRowCount())
		}
		if response.GetResult() != nil {
			return response.GetResult(), nil
		}
	}
	return nil, endedEarly("The copy ended without a result.")
}

// MigrateOptions says what to bring from one store to another. Exactly one of Key, Prefix and All is given.
type MigrateOptions struct {
	// Key is that of one result.
	Key string
	// Prefix is what the keys of several results begin with.
	Prefix string
	// All are all results of the store.
	All bool
	// From is the store where they are.
	From Backend
	// To is the store where they go.
	To Backend
	// KeepSource copies instead of moving.
	KeepSource bool
}

// Migrate moves or copies results from one store to another, and tells how far it is; the same again goes on. Of many, one that
// fails is told by the failure of a message, and the others go on. RESULT_NOT_FOUND, NO_SECONDARY, VOLATILE_TARGET.
func (c *Client) Migrate(ctx context.Context, options MigrateOptions) iter.Seq2[*pb.MigrateResultResponse, error] {
	return stream(ctx, c, c.rpc.MigrateResult, &pb.MigrateResultRequest{
		Key: options.Key, Prefix: options.Prefix, All: options.All,
		FromBackend: options.From, ToBackend: options.To, KeepSource: options.KeepSource,
	})
}

// Replicate copies to the secondary what it lacks of keys that begin with a prefix; later changes of these keys are replicated.
// It tells how far it is. NO_SECONDARY.
func (c *Client) Replicate(ctx context.Context, prefix string) iter.Seq2[*pb.ReplicateResultsResponse, error] {
	return stream(ctx, c, c.rpc.ReplicateResults, &pb.ReplicateResultsRequest{Prefix: prefix})
}

// MigrateStore copies everything from the primary to the secondary, so that the two can be swapped. It tells how far it is.
// NO_SECONDARY.
func (c *Client) MigrateStore(ctx context.Context) iter.Seq2[*pb.MigrateStoreResponse, error] {
	return stream(ctx, c, c.rpc.MigrateStore, &pb.MigrateStoreRequest{})
}

// VerifyOptions says what to verify. The zero value is everything in both stores.
type VerifyOptions struct {
	// Prefix is what keys begin with. Empty: all.
	Prefix string
	// From is the store whose copies alone are read; not the cache. Default: both.
	From Backend
	// Repair replaces what is corrupt or missing by the other store's copy.
	Repair bool
}

// Verify reads results again from beginning to end, and tells of each copy whether every byte checks. NO_SECONDARY.
func (c *Client) Verify(ctx context.Context, options VerifyOptions) iter.Seq2[*pb.VerifyResultsResponse, error] {
	return stream(ctx, c, c.rpc.VerifyResults, &pb.VerifyResultsRequest{
		Prefix: options.Prefix, Backend: options.From, Repair: options.Repair,
	})
}
