package optistore

import (
	"context"
	"io"
	"iter"
	"sync"
	"time"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/grpc"
)

// Client is a connection to a daemon; [Dial] makes one. All its methods may be called at the same time. Close it at the end.
type Client struct {
	conn     *grpc.ClientConn
	rpc      pb.StorageServiceClient
	address  string
	retryFor time.Duration
	closing  chan struct{}
	close    sync.Once
}

func newClient(conn *grpc.ClientConn, address string, retryFor time.Duration) *Client {
	return &Client{conn: conn, rpc: pb.NewStorageServiceClient(conn), address: address, retryFor: retryFor, closing: make(chan struct{})}
}

// RPC gives the generated client on the same connection, for what this package has no method for.
func (c *Client) RPC() pb.StorageServiceClient { return c.rpc }

// Close ends the connection, and what is read, watched or written over it. Close writers before: rows that are not acknowledged
// are lost.
func (c *Client) Close() error {
	var err error
	c.close.Do(func() {
		close(c.closing)
		err = c.conn.Close()
	})
	return err
}

func (c *Client) isClosed() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// Status tells how the daemon is.
func (c *Client) Status(ctx context.Context) (*pb.GetStatusResponse, error) {
	return unary(ctx, c, c.rpc.GetStatus, &pb.GetStatusRequest{})
}

// unary calls an rpc of one answer.
func unary[Request, Response any](
	ctx context.Context, c *Client, call func(context.Context, *Request, ...grpc.CallOption) (*Response, error), request *Request,
) (*Response, error) {
	response, err := call(ctx, request)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	return response, nil
}

// stream calls an rpc that answers with many messages when the iteration begins. Left early, it is cancelled.
func stream[Request, Response any](
	ctx context.Context, c *Client,
	call func(context.Context, *Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Response], error), request *Request,
) iter.Seq2[*Response, error] {
	return func(yield func(*Response, error) bool) {
		running, cancel := context.WithCancel(ctx)
		defer cancel()
		answers, err := call(running, request)
		for err == nil {
			var response *Response
			if response, err = answers.Recv(); err == nil && !yield(response, nil) {
				return
			}
		}
		if err != io.EOF {
			yield(nil, c.failed(ctx, err))
		}
	}
}

// pages iterates over what a call gives page by page.
func pages[Item any](page func(token string) (items []*Item, next string, err error)) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		for token := ""; ; {
			items, next, err := page(token)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if token = next; token == "" {
				return
			}
		}
	}
}
