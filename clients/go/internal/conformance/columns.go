package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	optistore "github.com/optistore/optistore/clients/go"
)

// column is one as README.md has it.
type column struct {
	Type   string `json:"type"`
	Values []any  `json:"values"`
}

// inputs are the columns of a command, as Append takes them.
func (c *command) inputs() optistore.Columns {
	var given map[string]column
	if err := json.Unmarshal(c.Columns, &given); err != nil {
		panic(err)
	}
	columns := optistore.Columns{}
	for name, column := range given {
		switch column.Type {
		case "float64":
			columns[name] = typed(column.Values, floatOf)
		case "int64":
			columns[name] = typed(column.Values, func(value any) int64 {
				number, err := strconv.ParseInt(value.(string), 10, 64)
				if err != nil {
					panic(err)
				}
				return number
			})
		case "bool":
			columns[name] = typed(column.Values, func(value any) bool { return value.(bool) })
		case "string":
			columns[name] = typed(column.Values, func(value any) string { return value.(string) })
		}
	}
	return columns
}

// typed gives a slice, or an Optional where values are missing.
func typed[T optistore.Value](values []any, read func(any) T) any {
	made := optistore.Optional[T]{Values: make([]T, len(values)), Valid: make([]bool, len(values))}
	isWhole := true
	for row, value := range values {
		if made.Valid[row] = value != nil; value == nil {
			isWhole = false
		} else {
			made.Values[row] = read(value)
		}
	}
	if isWhole {
		return made.Values
	}
	return made
}

func floatOf(value any) float64 {
	text, isText := value.(string)
	if !isText {
		return value.(float64)
	}
	if strings.HasPrefix(text, "0x") {
		bits, err := strconv.ParseUint(text[2:], 16, 64)
		if err != nil {
			panic(err)
		}
		return math.Float64frombits(bits)
	}
	if text == "NaN" {
		return math.Float64frombits(canonicalNaN)
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(err)
	}
	return number
}

const canonicalNaN = 0x7ff8000000000000

// row gives one row of columns, in the order of a problem's variables.
func row(columns optistore.Columns, problem *optistore.Problem, at int) []any {
	values := make([]any, len(problem.GetVariables()))
	for i, variable := range problem.GetVariables() {
		switch column := columns[variable.GetName()].(type) {
		case []float64:
			values[i] = column[at]
		case []int64:
			values[i] = column[at]
		case []bool:
			values[i] = column[at]
		case []string:
			values[i] = column[at]
		case optistore.Optional[float64]:
			values[i] = valueAt(column, at)
		case optistore.Optional[int64]:
			values[i] = valueAt(column, at)
		case optistore.Optional[bool]:
			values[i] = valueAt(column, at)
		case optistore.Optional[string]:
			values[i] = valueAt(column, at)
		}
	}
	return values
}

func valueAt[T optistore.Value](column optistore.Optional[T], row int) any {
	if value, isThere := column.At(row); isThere {
		return value
	}
	return nil
}

// inOrder are columns whose order is kept in JSON, as maps do not.
type inOrder struct {
	names   []string
	columns map[string]*column
}

// MarshalJSON writes an object.
func (o inOrder) MarshalJSON() ([]byte, error) {
	written := []byte("{")
	for i, name := range o.names {
		if i > 0 {
			written = append(written, ',')
		}
		for _, part := range []any{name, o.columns[name]} {
			text, err := json.Marshal(part)
			if err != nil {
				return nil, err
			}
			written = append(append(written, text...), ':')
		}
		written = written[:len(written)-1]
	}
	return append(written, '}'), nil
}

// written are the columns of batches, one after the other.
func written(batches []*optistore.Batch) inOrder {
	all := inOrder{columns: map[string]*column{}}
	for _, batch := range batches {
		given := batch.Columns()
		for _, variable := range batch.Variables {
			name := variable.GetName()
			to := all.columns[name]
			if to == nil {
				to = &column{Values: []any{}}
				all.names, all.columns[name] = append(all.names, name), to
			}
			switch values := given[name].(type) {
			case optistore.Optional[float64]:
				to.add("float64", values.Len(), func(row int) any { return mapped(values, row, writtenFloat) })
			case optistore.Optional[int64]:
				to.add("int64", values.Len(), func(row int) any {
					return mapped(values, row, func(value int64) any { return fmt.Sprint(value) })
				})
			case optistore.Optional[bool]:
				to.add("bool", values.Len(), func(row int) any { return valueAt(values, row) })
			case optistore.Optional[string]:
				to.add("string", values.Len(), func(row int) any { return valueAt(values, row) })
			}
		}
	}
	return all
}

func (c *column) add(valueType string, rows int, value func(row int) any) {
	c.Type = valueType
	for row := range rows {
		c.Values = append(c.Values, value(row))
	}
}

func mapped[T optistore.Value](values optistore.Optional[T], row int, write func(T) any) any {
	if value, isThere := values.At(row); isThere {
		return write(value)
	}
	return nil
}

func writtenFloat(value float64) any {
	switch bits := math.Float64bits(value); {
	case bits == canonicalNaN:
		return "NaN"
	case value != value:
		return fmt.Sprintf("0x%016x", bits)
	case math.IsInf(value, 1):
		return "Infinity"
	case math.IsInf(value, -1):
		return "-Infinity"
	case value == 0 && math.Signbit(value):
		return "-0.0"
	default:
		return value
	}
}
