package optistore

import (
	"encoding/binary"
	"math"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

// grownAtOnceMax is how much memory is taken for a column because a header says so.
const grownAtOnceMax = 256 << 20

// joined is batches as one.
type joined struct {
	variables  []*pb.Variable
	columns    []wireColumn
	rowNumbers []uint64
	rows       int
}

// newJoined makes room for a number of rows, as far as it is known.
func newJoined(variables []*pb.Variable, rows uint64) *joined {
	made := &joined{variables: variables, columns: make([]wireColumn, len(variables))}
	for i, variable := range variables {
		column := &made.columns[i]
		column.valueType = variable.GetValueType()
		if column.valueType == String {
			column.offsets = binary.LittleEndian.AppendUint32(nil, 0)
		} else if bytes := rows * uint64(width(column.valueType)); rows < math.MaxInt32 && bytes <= grownAtOnceMax {
			column.raw = make([]byte, 0, bytes)
		}
	}
	return made
}

// add copies a batch behind the rows that there are.
func (j *joined) add(batch *Batch) error {
	for i := range j.columns {
		to, from := &j.columns[i], &batch.columns[i]
		to.addValidity(from, j.rows, batch.RowCount)
		if to.valueType == String {
			base := uint32(len(to.raw))
			if uint64(base)+uint64(len(from.raw)) > math.MaxUint32 {
				return usage("the column %q has over 4 GiB of text; read it batch by batch", j.variables[i].GetName())
			}
			for row := range batch.RowCount {
				to.offsets = binary.LittleEndian.AppendUint32(to.offsets, base+binary.LittleEndian.Uint32(from.offsets[row*4+4:]))
			}
		}
		to.raw = append(to.raw, from.raw...)
	}
	j.rowNumbers = append(j.rowNumbers, batch.RowNumbers...)
	j.rows += batch.RowCount
	return nil
}

// addValidity adds that of `more` rows behind those of `rows`.
func (c *wireColumn) addValidity(from *wireColumn, rows, more int) {
	if len(from.validity) == 0 && len(c.validity) == 0 {
		return
	}
	before := len(c.validity)
	c.validity = append(c.validity, make([]byte, (rows+more+7)/8-before)...)
	if before == 0 {
		for row := range rows {
			c.validity[row/8] |= 1 << (row % 8)
		}
	}
	for row := range more {
		if len(from.validity) == 0 || from.validity[row/8]>>(row%8)&1 == 1 {
			c.validity[(rows+row)/8] |= 1 << ((rows + row) % 8)
		}
	}
}

func (j *joined) batch(firstRow uint64) *Batch {
	return &Batch{FirstRow: firstRow, RowCount: j.rows, RowNumbers: j.rowNumbers, Variables: j.variables, columns: j.columns}
}
