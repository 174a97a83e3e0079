package optistore

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is a call that failed, as the daemon or the connection says.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is the name of an ErrorReason of the contract, such as KEY_INVALID. Empty: the daemon did not answer.
	Reason string
	// Metadata has facts of the error, such as next_row. May be nil.
	Metadata map[string]string
	// Message is for people.
	Message string

	cause error
}

// Error gives the message, the code and the reason.
func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("optistore: %s (%s)", e.Message, e.Code)
	}
	return fmt.Sprintf("optistore: %s (%s, %s)", e.Message, e.Code, e.Reason)
}

// Unwrap gives what the call failed with: an error of gRPC, or that of the context.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus is for status.FromError and status.Code.
func (e *Error) GRPCStatus() *status.Status {
	var from interface{ GRPCStatus() *status.Status }
	if errors.As(e.cause, &from) && from.GRPCStatus().Code() == e.Code {
		return from.GRPCStatus()
	}
	return status.New(e.Code, e.Message)
}

// Retryable says whether the same call may succeed a little later: the daemon is away or going, or the connection broke.
func (e *Error) Retryable() bool {
	if e.Code == codes.Unavailable {
		return true
	}
	// What a broken connection gives depends on where it broke; the daemon itself always says a reason.
	broken := e.Code == codes.Internal || e.Code == codes.Unknown || e.Code == codes.Canceled
	return e.Reason == "" && broken && !isContextEnd(e.cause)
}

// ReasonOf gives the reason of an error that is, or wraps, an [*Error], such as RESULT_NOT_FOUND; else an empty string.
func ReasonOf(err error) string {
	var known *Error
	if errors.As(err, &known) {
		return known.Reason
	}
	return ""
}

// UsageError is a call that can't be right whatever the daemon says: columns that do not fit the problem, a closed writer, a
// wrong option. Nothing was sent.
type UsageError struct {
	// Message is for people.
	Message string
}

// Error gives the message.
func (e *UsageError) Error() string { return "optistore: " + e.Message }

func usage(format string, args ...any) error {
	return &UsageError{Message: fmt.Sprintf(format, args...)}
}

func isContextEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// failed makes an *Error of what gRPC gave, and nil of nil; ctx is the caller's.
func (c *Client) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	var wrong *UsageError
	if errors.As(err, &known) || errors.As(err, &wrong) {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		return &Error{Code: status.FromContextError(ended).Code(), Message: ended.Error(), cause: ended}
	}
	told, _ := status.FromError(err)
	made := &Error{Code: told.Code(), Message: told.Message(), cause: err}
	for _, detail := range told.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "optistore" {
			made.Reason, made.Metadata = info.GetReason(), info.GetMetadata()
			return made
		}
	}
	if c.isClosed() {
		return &Error{Code: codes.Canceled, Message: "the client was closed", cause: context.Canceled}
	}
	if made.Code == codes.Unavailable {
		made.Message = fmt.Sprintf("No daemon answers at %s (%s). Start one with `optistore serve`, or name another with OPTISTORE_SERVER.", c.address, told.Message())
	}
	return made
}

func dataLoss(format string, args ...any) *Error {
	return &Error{Code: codes.DataLoss, Message: fmt.Sprintf(format, args...)}
}

// endedEarly is a stream that came to its end without what it should have ended with.
func endedEarly(message string) *Error {
	return &Error{Code: codes.Unavailable, Message: message}
}
