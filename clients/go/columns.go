package optistore

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
	"unsafe"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

const (
	stringBytesMax     = 64 << 10
	rowStringsBytesMax = 1 << 20
)

// Columns are rows, column by column: for each variable of the problem, by its name, values of the variable's type, all of equal
// length. Values are a []float64, []int64, []int, []bool or []string where all are there, else an [Optional] of one of these.
// Numbers and bools are read, not kept: once Append has returned they may be changed.
type Columns map[string]any

// Value is what a column may hold.
type Value interface {
	float64 | int64 | int | bool | string
}

// Optional is a column of which values may be missing.
type Optional[T Value] struct {
	// Values has a slot for each row; what that of a missing value holds means nothing.
	Values []T
	// Valid says of each row whether the value is there. Nil: all are.
	Valid []bool
}

// Len is the number of rows.
func (o Optional[T]) Len() int { return len(o.Values) }

// At gives the value of a row, and whether it is there.
func (o Optional[T]) At(row int) (value T, isThere bool) {
	if o.Valid != nil && !o.Valid[row] {
		return value, false
	}
	return o.Values[row], true
}

// column is the rows of one variable, as they are to be sent.
type column struct {
	valueType pb.ValueType
	// raw has numbers and bools as on the wire.
	raw   []byte
	texts []string
	// valid is nil where nothing is missing.
	valid []bool
	rows  int
}

// width is the number of bytes of a value; 0 for strings.
func width(valueType pb.ValueType) int {
	switch valueType {
	case Float64, Int64:
		return 8
	case Bool:
		return 1
	default:
		return 0
	}
}

// columnsOf checks rows against the variables. Their values stay where they are.
func columnsOf(variables []*pb.Variable, given Columns) (columns []column, rows int, err error) {
	columns = make([]column, len(variables))
	for i, variable := range variables {
		values, isGiven := given[variable.GetName()]
		if !isGiven {
			return nil, 0, usage("the column %q is missing; a column is given for each variable", variable.GetName())
		}
		if columns[i], err = columnOf(variable, values); err != nil {
			return nil, 0, err
		}
		if rows = columns[0].rows; columns[i].rows != rows {
			return nil, 0, usage("the column %q has %d rows; %q has %d", variable.GetName(), columns[i].rows, variables[0].GetName(), rows)
		}
	}
	if len(given) != len(variables) {
		return nil, 0, usage("the column %q is none of the problem's variables", unknownName(variables, given))
	}
	return columns, rows, checkStrings(variables, columns, rows)
}

func unknownName(variables []*pb.Variable, given Columns) string {
	known := make(map[string]bool, len(variables))
	for _, variable := range variables {
		known[variable.GetName()] = true
	}
	for name := range given {
		if !known[name] {
			return name
		}
	}
	return ""
}

func columnOf(variable *pb.Variable, given any) (column, error) {
	made := column{}
	switch values := given.(type) {
	case []float64:
		made = column{valueType: Float64, raw: float64Bytes(values), rows: len(values)}
	case Optional[float64]:
		made = column{valueType: Float64, raw: float64Bytes(values.Values), rows: len(values.Values), valid: values.Valid}
	case []int64:
		made = column{valueType: Int64, raw: int64Bytes(values), rows: len(values)}
	case Optional[int64]:
		made = column{valueType: Int64, raw: int64Bytes(values.Values), rows: len(values.Values), valid: values.Valid}
	case []int:
		made = column{valueType: Int64, raw: intBytes(values), rows: len(values)}
	case Optional[int]:
		made = column{valueType: Int64, raw: intBytes(values.Values), rows: len(values.Values), valid: values.Valid}
	case []bool:
		made = column{valueType: Bool, raw: boolBytes(values), rows: len(values)}
	case Optional[bool]:
		made = column{valueType: Bool, raw: boolBytes(values.Values), rows: len(values.Values), valid: values.Valid}
	case []string:
		made = column{valueType: String, texts: values, rows: len(values)}
	case Optional[string]:
		made = column{valueType: String, texts: values.Values, rows: len(values.Values), valid: values.Valid}
	default:
		return made, usage("the column %q is a %T; its variable takes %s", variable.GetName(), given, variable.GetValueType())
	}
	if made.valueType != variable.GetValueType() {
		return made, usage("the column %q is a %T; its variable takes %s", variable.GetName(), given, variable.GetValueType())
	}
	if made.valid != nil && len(made.valid) != made.rows {
		return made, usage("the column %q has %d values and says of %d whether they are there", variable.GetName(), made.rows, len(made.valid))
	}
	return made, nil
}

func checkStrings(variables []*pb.Variable, columns []column, rows int) error {
	var bytes []int
	for i := range columns {
		if columns[i].valueType != String {
			continue
		}
		if bytes == nil {
			bytes = make([]int, rows)
		}
		for row := range rows {
			text := columns[i].text(row)
			if err := checkString(variables[i], text); err != nil {
				return err
			}
			if bytes[row] += len(text); bytes[row] > rowStringsBytesMax {
				return usage("the strings of row %d have more than the 1 MiB that a row may have", row)
			}
		}
	}
	return nil
}

func checkString(variable *pb.Variable, text string) error {
	if len(text) > stringBytesMax {
		return usage("the column %q has a string of %d bytes; at most %d are kept", variable.GetName(), len(text), stringBytesMax)
	}
	if !utf8.ValidString(text) {
		return usage("the column %q has a string that is not UTF-8", variable.GetName())
	}
	return nil
}

// text is that of a row; empty where it is missing.
func (c *column) text(row int) string {
	if c.valid != nil && !c.valid[row] {
		return ""
	}
	return c.texts[row]
}

// rowBytes is what a row takes in a message, about.
func (c *column) rowBytes(row int) int {
	if c.valueType == String {
		return 4 + len(c.text(row))
	}
	return width(c.valueType)
}

// isLittleEndian says whether numbers lie in memory as they do on the wire: they are then not converted one by one.
var isLittleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// bytesOf views numbers as bytes.
func bytesOf[T float64 | int64 | int | bool](values []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(one)))
}

func float64Bytes(values []float64) []byte {
	if isLittleEndian {
		return bytesOf(values)
	}
	raw := make([]byte, 0, len(values)*8)
	for _, value := range values {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(value))
	}
	return raw
}

func int64Bytes(values []int64) []byte {
	if isLittleEndian {
		return bytesOf(values)
	}
	return wideBytes(values)
}

func intBytes(values []int) []byte {
	if isLittleEndian && math.MaxInt == math.MaxInt64 {
		return bytesOf(values)
	}
	return wideBytes(values)
}

func wideBytes[T int | int64](values []T) []byte {
	raw := make([]byte, 0, len(values)*8)
	for _, value := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(value))
	}
	return raw
}

// boolBytes views bools, which Go keeps as a byte of 0 or 1.
func boolBytes(values []bool) []byte { return bytesOf(values) }

func appendFloat64(raw []byte, value float64) []byte {
	return binary.LittleEndian.AppendUint64(raw, math.Float64bits(value))
}

func appendInt64(raw []byte, value int64) []byte {
	return binary.LittleEndian.AppendUint64(raw, uint64(value))
}

func boolByte(value bool) byte {
	if value {
		return 1
	}
	return 0
}
