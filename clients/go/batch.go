package optistore

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"unsafe"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

// Batch is consecutive rows of a load, or all of them.
//
// Numbers, bools and strings are views of the message that the rows came in where they are aligned there, as the daemon sends
// them from 1 KiB on, and the machine is little-endian; else they are copied once. So they hold that message in memory, and
// writing into them changes them for all who asked for the column. Ask for a column once, and keep what you got: strings and
// what is missing are made anew each time.
type Batch struct {
	// FirstRow is the number of the first row in the result; of a result set or a sample, its position in that.
	FirstRow uint64
	// RowCount is the number of rows.
	RowCount int
	// RowNumbers are, of a result set and of a sample, the rows' numbers in the result. Nil otherwise.
	RowNumbers []uint64
	// Variables are the columns, in the order asked for.
	Variables []*Variable

	columns []wireColumn
}

// Float64 gives a column of that type. [*UsageError] for one that is not there or has another type.
func (b *Batch) Float64(name string) (Optional[float64], error) {
	column, err := b.find(name, Float64)
	if err != nil {
		return Optional[float64]{}, err
	}
	return Optional[float64]{numbersOf[float64](column.raw), column.valid(b.RowCount)}, nil
}

// Int64 gives a column of that type. [*UsageError] for one that is not there or has another type.
func (b *Batch) Int64(name string) (Optional[int64], error) {
	column, err := b.find(name, Int64)
	if err != nil {
		return Optional[int64]{}, err
	}
	return Optional[int64]{numbersOf[int64](column.raw), column.valid(b.RowCount)}, nil
}

// Bool gives a column of that type. [*UsageError] for one that is not there or has another type.
func (b *Batch) Bool(name string) (Optional[bool], error) {
	column, err := b.find(name, Bool)
	if err != nil {
		return Optional[bool]{}, err
	}
	// Each byte was checked to be 0 or 1.
	values := unsafe.Slice((*bool)(unsafe.Pointer(unsafe.SliceData(column.raw))), b.RowCount)
	return Optional[bool]{values, column.valid(b.RowCount)}, nil
}

// String gives a column of that type. [*UsageError] for one that is not there or has another type.
func (b *Batch) String(name string) (Optional[string], error) {
	column, err := b.find(name, String)
	if err != nil {
		return Optional[string]{}, err
	}
	texts := make([]string, b.RowCount)
	for row := range texts {
		start := binary.LittleEndian.Uint32(column.offsets[row*4:])
		end := binary.LittleEndian.Uint32(column.offsets[row*4+4:])
		// The message is never written again.
		texts[row] = unsafe.String(unsafe.SliceData(column.raw[start:end]), end-start)
	}
	return Optional[string]{texts, column.valid(b.RowCount)}, nil
}

// Columns gives all columns, each an [Optional] of its type, as [Writer.Append] takes them.
func (b *Batch) Columns() Columns {
	all := make(Columns, len(b.Variables))
	for _, variable := range b.Variables {
		name := variable.GetName()
		// The name and the type are the batch's own.
		switch variable.GetValueType() {
		case Float64:
			all[name], _ = b.Float64(name)
		case Int64:
			all[name], _ = b.Int64(name)
		case Bool:
			all[name], _ = b.Bool(name)
		case String:
			all[name], _ = b.String(name)
		}
	}
	return all
}

func (b *Batch) find(name string, wanted pb.ValueType) (*wireColumn, error) {
	for i, variable := range b.Variables {
		if variable.GetName() != name {
			continue
		}
		if variable.GetValueType() != wanted {
			return nil, usage("the column %q holds %s, not %s", name, variable.GetValueType(), wanted)
		}
		return &b.columns[i], nil
	}
	return nil, usage("the column %q was not loaded", name)
}

// numbersOf views 8-byte numbers where they are aligned, and copies them else.
func numbersOf[T float64 | int64 | uint64](raw []byte) []T {
	count := len(raw) / 8
	if isAligned(raw) {
		return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(raw))), count)
	}
	values := make([]T, count)
	bits := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(values))), count)
	for i := range bits {
		bits[i] = binary.LittleEndian.Uint64(raw[i*8:])
	}
	return values
}

func (c *wireColumn) valid(rows int) []bool {
	if len(c.validity) == 0 {
		return nil
	}
	valid := make([]bool, rows)
	for row := range valid {
		valid[row] = c.validity[row/8]>>(row%8)&1 == 1
	}
	return valid
}

// check holds a batch against its checksum and the columns that it should have.
func (b *wireBatch) check(variables []*pb.Variable) error {
	if len(b.columns) != len(variables) {
		return dataLoss("The batch at row %d has %d columns; %d were announced.", b.firstRow, len(b.columns), len(variables))
	}
	crc := uint32(0)
	for i := range b.columns {
		column := &b.columns[i]
		crc = crc32.Update(crc, crc32.IEEETable, column.offsets)
		crc = crc32.Update(crc, crc32.IEEETable, column.raw)
		crc = crc32.Update(crc, crc32.IEEETable, column.validity)
	}
	if !b.hasCRC || crc != b.crc {
		return dataLoss("The batch at row %d has CRC-32 %d, not %d as it says: it was damaged on the way.", b.firstRow, crc, b.crc)
	}
	for i := range b.columns {
		if !b.columns[i].fits(variables[i].GetValueType(), b.rows) {
			return dataLoss("The column %q of the batch at row %d does not fit its %d rows.", variables[i].GetName(), b.firstRow, b.rows)
		}
	}
	return nil
}

func (c *wireColumn) fits(valueType pb.ValueType, rows int) bool {
	if c.valueType != valueType || (len(c.validity) != 0 && len(c.validity) != (rows+7)/8) {
		return false
	}
	switch valueType {
	case String:
		return c.hasOffsets(rows)
	case Bool:
		for _, value := range c.raw {
			if value > 1 {
				return false
			}
		}
	}
	return len(c.raw) == rows*width(valueType)
}

func (c *wireColumn) hasOffsets(rows int) bool {
	if len(c.offsets) != (rows+1)*4 || uint64(len(c.raw)) > math.MaxUint32 {
		return false
	}
	before := uint32(0)
	for row := range rows + 1 {
		offset := binary.LittleEndian.Uint32(c.offsets[row*4:])
		if offset < before || (row == 0 && offset != 0) {
			return false
		}
		before = offset
	}
	return uint64(before) == uint64(len(c.raw))
}
