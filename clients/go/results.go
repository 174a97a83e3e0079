package optistore

import (
	"context"
	"iter"
	"maps"
	"slices"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Get gives a result's metadata: all there are. RESULT_NOT_FOUND.
func (c *Client) Get(ctx context.Context, key string) (*Result, error) {
	response, err := unary(ctx, c, c.rpc.GetResult, &pb.GetResultRequest{Key: key})
	return response.GetResult(), err
}

// ListOptions says what to list. The zero value lists every result in order of key.
type ListOptions struct {
	// Prefix is what keys begin with. Empty: all.
	Prefix string
	// Tags are those that a result has to have, with these values.
	Tags map[string]string
	// Filter is an expression such as `solver = "NSGA2" AND best.f < 2.5`; see docs/filter.md. FILTER_INVALID.
	Filter string
	// OrderBy is `key`, `commit_time` or `update_time`, with ` desc` for the reverse. Empty: `key`.
	OrderBy string
	// PageSize is how many come at once, at most 1,000. 0: 100.
	PageSize uint32
	// View is how much of each result there is. Default: no column summaries and rows of sets.
	View pb.ResultView
	// OnUnreachable is told of stores that could not be asked, so that results may be lacking or old.
	OnUnreachable func(stores []string)
}

// List iterates over results, page by page. An error is the last that it gives.
func (c *Client) List(ctx context.Context, options ListOptions) iter.Seq2[*Result, error] {
	return pages(func(token string) ([]*Result, string, error) {
		response, err := unary(ctx, c, c.rpc.ListResults, &pb.ListResultsRequest{
			Prefix: options.Prefix, Tags: options.Tags, Filter: options.Filter, OrderBy: options.OrderBy,
			PageSize: options.PageSize, View: options.View, PageToken: token,
		})
		if stores := response.GetUnreachable(); len(stores) > 0 && options.OnUnreachable != nil {
			options.OnUnreachable(stores)
		}
		return response.GetResults(), response.GetNextPageToken(), err
	})
}

// Changes says what to change of a result's metadata; what is nil stays as it is.
type Changes struct {
	// Tags are set; the others stay.
	Tags map[string]string
	// RemoveTags names those that are removed.
	RemoveTags []string
	// Attributes replace all that there are: nil, bool, numbers, string, []any and map[string]any. Empty but not nil: none.
	Attributes map[string]any
	// Description is free text.
	Description *string
	// Outcome says how the run ended.
	Outcome *Outcome
	// ExpectedRevision is the one that is changed: REVISION_MISMATCH when the key has another. Nil: no check.
	ExpectedRevision *uint64
}

// Update changes a result's metadata, and gives the result as it is then. RESULT_NOT_FOUND, REVISION_MISMATCH.
func (c *Client) Update(ctx context.Context, key string, changes Changes) (*Result, error) {
	attributes, err := structOf(changes.Attributes)
	if err != nil {
		return nil, err
	}
	result := &Result{Key: key, Tags: changes.Tags, Attributes: attributes}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(changes.Tags)) {
		paths = append(paths, "tags."+name)
	}
	for _, name := range changes.RemoveTags {
		if _, isSet := changes.Tags[name]; isSet {
			return nil, usage("the tag %q is to be set and removed", name)
		}
		paths = append(paths, "tags."+name)
	}
	if attributes != nil {
		paths = append(paths, "attributes")
	}
	if changes.Description != nil {
		paths, result.Description = append(paths, "description"), *changes.Description
	}
	if changes.Outcome != nil {
		paths, result.Outcome = append(paths, "outcome"), *changes.Outcome
	}
	response, err := unary(ctx, c, c.rpc.UpdateResult, &pb.UpdateResultRequest{
		Result: result, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}, ExpectedRevision: changes.ExpectedRevision,
	})
	return response.GetResult(), err
}

// DeleteOptions says what to delete. The zero value deletes the result, everywhere and in any revision.
type DeleteOptions struct {
	// ExpectedRevision is the one that is deleted: REVISION_MISMATCH when the key has another. Nil: no check.
	ExpectedRevision *uint64
	// From is the store whose copy alone is deleted, while another one has the same. Default: all.
	From Backend
}

// Delete deletes a result, or one of its copies; gives the deletion's revision, or that of the copy. RESULT_NOT_FOUND,
// REVISION_MISMATCH, NO_SECONDARY.
func (c *Client) Delete(ctx context.Context, key string, options DeleteOptions) (revision uint64, err error) {
	response, err := unary(ctx, c, c.rpc.DeleteResult, &pb.DeleteResultRequest{
		Key: key, ExpectedRevision: options.ExpectedRevision, Backend: options.From,
	})
	return response.GetRevision(), err
}

// ListUploads iterates over saves in progress of keys that begin with a prefix, page by page.
func (c *Client) ListUploads(ctx context.Context, prefix string) iter.Seq2[*pb.Upload, error] {
	return pages(func(token string) ([]*pb.Upload, string, error) {
		response, err := unary(ctx, c, c.rpc.ListUploads, &pb.ListUploadsRequest{Prefix: prefix, PageToken: token})
		return response.GetUploads(), response.GetNextPageToken(), err
	})
}

// AbortUpload gives up a save in progress and removes its rows. UPLOAD_NOT_FOUND, UPLOAD_COMMITTED.
func (c *Client) AbortUpload(ctx context.Context, uploadID string) error {
	_, err := unary(ctx, c, c.rpc.AbortUpload, &pb.AbortUploadRequest{UploadId: uploadID})
	return err
}

// structOf gives nil for nil.
func structOf(facts map[string]any) (*structpb.Struct, error) {
	if facts == nil {
		return nil, nil
	}
	made, err := structpb.NewStruct(facts)
	if err != nil {
		return nil, usage("the attributes can't be sent: %v", err)
	}
	return made, nil
}
