package optistore

import pb "github.com/optistore/optistore/clients/go/optistorev1"

// gathered are small pieces of rows that go together as one message.
type gathered struct {
	columns  []column
	firstRow uint64
	rows     int
	// bytes is what they take in a message, about.
	bytes int
}

func newGathered(variables []*pb.Variable) *gathered {
	made := &gathered{columns: make([]column, len(variables))}
	for i, variable := range variables {
		made.columns[i].valueType = variable.GetValueType()
	}
	return made
}

// add copies rows behind those that there are.
func (g *gathered) add(columns []column, rows, bytes int) {
	for i := range columns {
		to, from := &g.columns[i], &columns[i]
		to.raw = append(to.raw, from.raw...)
		to.texts = append(to.texts, from.texts...)
		if from.valid != nil {
			to.needValid()
			to.valid = append(to.valid, from.valid...)
		} else if to.valid != nil {
			for range rows {
				to.valid = append(to.valid, true)
			}
		}
		to.rows += rows
	}
	g.rows += rows
	g.bytes += bytes
}

// needValid says of the rows that there are that none is missing.
func (c *column) needValid() {
	if c.valid != nil {
		return
	}
	c.valid = make([]bool, c.rows, c.rows+16)
	for row := range c.valid {
		c.valid[row] = true
	}
}

// reset empties it; its memory is used again.
func (g *gathered) reset() {
	for i := range g.columns {
		column := &g.columns[i]
		clear(column.texts)
		column.raw, column.texts, column.valid, column.rows = column.raw[:0], column.texts[:0], nil, 0
	}
	g.rows, g.bytes = 0, 0
}

// checkRow checks one row, in the variables' order; it gives the bytes that it takes.
func checkRow(variables []*pb.Variable, values []any) (bytes int, err error) {
	if len(values) != len(variables) {
		return 0, usage("the row has %d values; the problem has %d variables", len(values), len(variables))
	}
	strings := 0
	for i, value := range values {
		var valueType pb.ValueType
		switch given := value.(type) {
		case nil:
			valueType = variables[i].GetValueType()
		case float64:
			valueType = Float64
		case int64, int:
			valueType = Int64
		case bool:
			valueType = Bool
		case string:
			valueType = String
			if err := checkString(variables[i], given); err != nil {
				return 0, err
			}
			strings += len(given)
		}
		if valueType != variables[i].GetValueType() {
			return 0, usage("the value of %q is a %T; its variable takes %s", variables[i].GetName(), value, variables[i].GetValueType())
		}
		if valueType == String {
			bytes += 4
		}
		bytes += width(valueType)
	}
	if strings > rowStringsBytesMax {
		return 0, usage("the strings of the row have %d bytes; a row may have %d", strings, rowStringsBytesMax)
	}
	return bytes + strings, nil
}

// addRow adds a row that was checked.
func (g *gathered) addRow(values []any, bytes int) {
	for i, value := range values {
		g.columns[i].push(value)
	}
	g.rows++
	g.bytes += bytes
}

func (c *column) push(value any) {
	if value == nil {
		c.needValid()
	}
	if c.valid != nil {
		c.valid = append(c.valid, value != nil)
	}
	switch given := value.(type) {
	case float64:
		c.raw = appendFloat64(c.raw, given)
	case int64:
		c.raw = appendInt64(c.raw, given)
	case int:
		c.raw = appendInt64(c.raw, int64(given))
	case bool:
		c.raw = append(c.raw, boolByte(given))
	case string:
		c.texts = append(c.texts, given)
	case nil:
		if c.valueType == String {
			c.texts = append(c.texts, "")
		} else {
			c.raw = append(c.raw, make([]byte, width(c.valueType))...)
		}
	}
	c.rows++
}
