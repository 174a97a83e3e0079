package optistore

import (
	"context"
	"iter"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

// WatchOptions says what to watch.
type WatchOptions struct {
	// Prefix is what keys begin with. Empty: all.
	Prefix string
	// AfterEvent is the number of the event to go on behind; 0: from the first. Nil: only what comes from now on.
	AfterEvent *uint64
	// IncludeUploads also tells about saves in progress, about once a second each.
	IncludeUploads bool
}

// Watch tells what happens, as it happens; it reconnects by itself and goes on behind the last event. It ends when it is left,
// ctx ends or the client is closed. EVENTS_EXPIRED where the daemon no longer knows that event.
func (c *Client) Watch(ctx context.Context, options WatchOptions) iter.Seq2[*pb.WatchResultsResponse, error] {
	return func(yield func(*pb.WatchResultsResponse, error) bool) {
		waits := retries{giveUpAfter: c.retryFor}
		request := &pb.WatchResultsRequest{Prefix: options.Prefix, AfterEvent: options.AfterEvent, IncludeUploads: options.IncludeUploads}
		for {
			var failure error
			for response, err := range stream(ctx, c, c.rpc.WatchResults, request) {
				if failure = err; err != nil {
					break
				}
				waits.succeeded()
				number := response.GetEventNumber()
				request.AfterEvent = &number
				if !yield(response, nil) {
					return
				}
			}
			if failure == nil {
				failure = endedEarly("The watch ended by itself.")
			}
			if failure = waits.failed(ctx, c.closing, failure); failure != nil {
				yield(nil, c.failed(ctx, failure))
				return
			}
		}
	}
}
