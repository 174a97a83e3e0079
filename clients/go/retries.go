package optistore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstWait   = 50 * time.Millisecond
	longestWait = 2 * time.Second
)

// retries waits longer after each failure, with jitter so that many clients do not come back at once.
type retries struct {
	giveUpAfter time.Duration
	failures    int
	since       time.Time
}

// succeeded forgets earlier failures.
func (b *retries) succeeded() {
	b.failures, b.since = 0, time.Time{}
}

// failed waits before the next try. It gives the error where it is none to retry after, or it has failed for too long; or that of
// the context.
func (b *retries) failed(ctx context.Context, closing <-chan struct{}, err error) error {
	var known *Error
	if !errors.As(err, &known) || !known.Retryable() {
		return err
	}
	return b.wait(ctx, closing, err)
}

// wait is failed for an error of any kind.
func (b *retries) wait(ctx context.Context, closing <-chan struct{}, err error) error {
	if b.since.IsZero() {
		b.since = time.Now()
	}
	if time.Since(b.since) >= b.giveUpAfter {
		return err
	}
	longest := min(firstWait<<min(b.failures, 10), longestWait)
	b.failures++
	timer := time.NewTimer(time.Duration(float64(longest) * (0.5 + rand.Float64()/2)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-closing:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
