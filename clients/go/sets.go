package optistore

import (
	"context"
	"encoding/binary"
	"math"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

// RowRange is a run of rows: from First, to before End.
type RowRange struct{ First, End uint64 }

// RowList gives the runs of single rows, which are in ascending order.
func RowList(rows ...uint64) []RowRange {
	runs := make([]RowRange, 0, len(rows))
	for _, row := range rows {
		if last := len(runs) - 1; last >= 0 && runs[last].End == row {
			runs[last].End++
		} else {
			runs = append(runs, RowRange{row, row + 1})
		}
	}
	return runs
}

// Set is a named subset of a result's rows, which is to be made: of Rows, or by an Operation on Parents.
type Set struct {
	// Name is unique in its result: 1 to 128 bytes.
	Name string
	// Rows are in ascending order, each once.
	Rows []RowRange
	// Operation makes it of Parents: Union, Intersection or Difference. Not at a commit.
	Operation pb.SetOperation
	// Parents are two or more sets of the same result.
	Parents []string
	// CreatedBy is a person or a program.
	CreatedBy string
	// Description is free text.
	Description string
	// ExpectedRevision is the result's that is changed: REVISION_MISMATCH when it has another. Nil: no check. Not at a commit.
	ExpectedRevision *uint64
}

// PutResultSet makes or replaces a named subset of a result's rows, and gives the result as it is then. [*UsageError] for rows
// out of order. RESULT_NOT_FOUND, RESULT_SET_NOT_FOUND, RESULT_SET_INVALID, TOO_MANY_RESULT_SETS, REVISION_MISMATCH.
func (c *Client) PutResultSet(ctx context.Context, key string, set Set) (*Result, error) {
	rows, err := rowNumbers(set)
	if err != nil {
		return nil, err
	}
	response, err := unary(ctx, c, c.rpc.PutResultSet, &pb.PutResultSetRequest{
		Key: key, Name: set.Name, Rows: rows, Operation: set.Operation, Parents: set.Parents,
		CreatedBy: set.CreatedBy, Description: set.Description, ExpectedRevision: set.ExpectedRevision,
	})
	return response.GetResult(), err
}

// DeleteResultSet removes a named subset, not its rows, and gives the result as it is then; expectedRevision may be nil.
// RESULT_NOT_FOUND, RESULT_SET_NOT_FOUND, REVISION_MISMATCH.
func (c *Client) DeleteResultSet(ctx context.Context, key, name string, expectedRevision *uint64) (*Result, error) {
	response, err := unary(ctx, c, c.rpc.DeleteResultSet, &pb.DeleteResultSetRequest{
		Key: key, Name: name, ExpectedRevision: expectedRevision,
	})
	return response.GetResult(), err
}

// rowNumbers writes a set's rows in their smallest form; nil for a set by an operation.
func rowNumbers(set Set) (*pb.RowNumbers, error) {
	if set.Operation != pb.SetOperation_SET_OPERATION_UNSPECIFIED {
		if set.Rows != nil {
			return nil, usage("the set %q has rows and an operation; it is made by one of them", set.Name)
		}
		return nil, nil
	}
	var end, deltas uint64
	var ranges []byte
	for _, run := range set.Rows {
		if run.End <= run.First || run.First < end || run.End > math.MaxInt64 {
			return nil, usage("the rows %d:%d of the set %q are none, or come before row %d; give rows in ascending order, each once", run.First, run.End, set.Name, end)
		}
		before := len(ranges)
		ranges = binary.AppendUvarint(ranges, run.First-end)
		deltas += uint64(len(ranges)-before) + run.End - run.First - 1
		ranges = binary.AppendUvarint(ranges, run.End-run.First-1)
		end = run.End
	}
	bitmap := (end + 7) / 8
	switch smallest := min(deltas, bitmap, uint64(len(ranges))); {
	case len(set.Rows) == 0:
		return &pb.RowNumbers{}, nil
	case smallest == uint64(len(ranges)):
		return &pb.RowNumbers{Form: &pb.RowNumbers_Ranges{Ranges: ranges}}, nil
	case smallest == bitmap:
		return &pb.RowNumbers{Form: &pb.RowNumbers_Bitmap{Bitmap: bitmapOf(set.Rows, bitmap)}}, nil
	default:
		return &pb.RowNumbers{Form: &pb.RowNumbers_Deltas{Deltas: deltasOf(set.Rows)}}, nil
	}
}

func bitmapOf(runs []RowRange, bytes uint64) []byte {
	bits := make([]byte, bytes)
	for _, run := range runs {
		for row := run.First; row < run.End; row++ {
			bits[row/8] |= 1 << (row % 8)
		}
	}
	return bits
}

func deltasOf(runs []RowRange) []byte {
	var deltas []byte
	var end uint64
	for _, run := range runs {
		deltas = binary.AppendUvarint(deltas, run.First-end)
		deltas = append(deltas, make([]byte, run.End-run.First-1)...)
		end = run.End
	}
	return deltas
}
