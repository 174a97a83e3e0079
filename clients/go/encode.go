package optistore

import (
	"encoding/binary"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// messageBytes is about what rows are gathered to and cut into.
	messageBytes = 1 << 20
	// alignedBytesMin is from how many bytes on numbers begin where the daemon can use them in place: see Column.padding.
	alignedBytesMin = 1024
	// frameHeadBytes is what gRPC has before a message.
	frameHeadBytes = 5
	paddingMax     = 2 + 7
)

// Fields of SaveResultRequest, RowBatch, Column and StringValues.
const (
	fieldBatch      = 2
	fieldFirstRow   = 1
	fieldRowCount   = 2
	fieldColumns    = 3
	fieldCRC32      = 4
	fieldRowNumbers = 5
	fieldFloat64    = 1
	fieldInt64      = 2
	fieldBool       = 3
	fieldStrings    = 4
	fieldValidity   = 5
	fieldPadding    = 6
	fieldOffsets    = 1
	fieldUTF8       = 2
)

// extent is what the rows of a column take in a message.
type extent struct {
	// raw has the bytes of numbers, or of offsets.
	raw, utf8, validity int
	isPadded            bool
}

func (c *column) extent(from, to int) extent {
	made := extent{raw: width(c.valueType) * (to - from)}
	if c.valueType == String {
		made.raw = 4 * (to - from + 1)
		for row := from; row < to; row++ {
			made.utf8 += len(c.text(row))
		}
	}
	made.isPadded = width(c.valueType) == 8 && made.raw >= alignedBytesMin
	if c.valid != nil {
		for _, isThere := range c.valid[from:to] {
			if !isThere {
				made.validity = (to - from + 7) / 8
				break
			}
		}
	}
	return made
}

func sizeOfField(bytes int) int { return 1 + protowire.SizeBytes(bytes) }

func (e *extent) strings() int {
	if e.utf8 == 0 {
		return sizeOfField(e.raw)
	}
	return sizeOfField(e.raw) + sizeOfField(e.utf8)
}

// size of the column's message, without padding.
func (e *extent) size(isString bool) int {
	size := sizeOfField(e.raw)
	if isString {
		size = sizeOfField(e.strings())
	}
	if e.validity > 0 {
		size += sizeOfField(e.validity)
	}
	return size
}

// encodeBatch writes rows `from` to before `to` as a SaveResultRequest; the first of them has the number firstRow. They are
// copied. What the generated code would do too, but from the rows where they are, and with their numbers aligned.
func encodeBatch(columns []column, firstRow uint64, from, to int) []byte {
	extents := make([]extent, len(columns))
	size := 1 + protowire.SizeVarint(firstRow) + 1 + protowire.SizeVarint(uint64(to-from)) + 5
	slack := 0
	for i := range columns {
		extents[i] = columns[i].extent(from, to)
		size += sizeOfField(extents[i].size(columns[i].valueType == String))
		if extents[i].isPadded {
			// The padding, and what it may add to the column's length.
			slack += paddingMax + 1
		}
	}
	head := 1 + protowire.SizeVarint(uint64(size))
	isAligned := protowire.SizeVarint(uint64(size+slack)) == head-1
	out := make([]byte, head, head+size+slack)
	out = protowire.AppendTag(out, fieldFirstRow, protowire.VarintType)
	out = protowire.AppendVarint(out, firstRow)
	out = protowire.AppendTag(out, fieldRowCount, protowire.VarintType)
	out = protowire.AppendVarint(out, uint64(to-from))
	crc := uint32(0)
	for i := range columns {
		extents[i].isPadded = extents[i].isPadded && isAligned
		out, crc = columns[i].encode(out, &extents[i], from, to, crc)
	}
	out = protowire.AppendTag(out, fieldCRC32, protowire.Fixed32Type)
	out = protowire.AppendFixed32(out, crc)
	protowire.AppendVarint(protowire.AppendTag(out[:0], fieldBatch, protowire.BytesType), uint64(len(out)-head))
	return out
}

// encode appends the column's field, and what its bytes make of the checksum.
func (c *column) encode(out []byte, e *extent, from, to int, crc uint32) ([]byte, uint32) {
	size := e.size(c.valueType == String)
	padding := -1
	if e.isPadded {
		padding = 0
		for ; padding < 7; padding++ {
			at := len(out) + 1 + protowire.SizeVarint(uint64(size+2+padding)) + 2 + padding + 1 + protowire.SizeVarint(uint64(e.raw))
			if (at+frameHeadBytes)%8 == 0 {
				break
			}
		}
		size += 2 + padding
	}
	out = protowire.AppendTag(out, fieldColumns, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(size))
	if padding >= 0 {
		out = appendHead(out, fieldPadding, padding)
		out = append(out, make([]byte, padding)...)
	}
	begin := len(out)
	if c.valueType == String {
		out, crc = c.encodeStrings(out, e, from, to, crc)
	} else {
		out = appendHead(out, fieldOf[c.valueType], e.raw)
		begin = len(out)
		out = append(out, c.raw[from*width(c.valueType):to*width(c.valueType)]...)
		if e.validity > 0 {
			c.clearMissing(out[begin:], from, to)
		}
		crc = crc32.Update(crc, crc32.IEEETable, out[begin:])
	}
	if e.validity > 0 {
		out = appendHead(out, fieldValidity, e.validity)
		begin = len(out)
		out = append(out, make([]byte, e.validity)...)
		setBits(out[begin:], c.valid[from:to])
		crc = crc32.Update(crc, crc32.IEEETable, out[begin:])
	}
	return out, crc
}

// fieldOf gives the field of a value type; strings have one of their own.
var fieldOf = [...]protowire.Number{Float64: fieldFloat64, Int64: fieldInt64, Bool: fieldBool}

func appendHead(out []byte, field protowire.Number, bytes int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(out, field, protowire.BytesType), uint64(bytes))
}

func (c *column) encodeStrings(out []byte, e *extent, from, to int, crc uint32) ([]byte, uint32) {
	out = appendHead(out, fieldStrings, e.strings())
	out = appendHead(out, fieldOffsets, e.raw)
	begin, offset := len(out), uint32(0)
	out = binary.LittleEndian.AppendUint32(out, 0)
	for row := from; row < to; row++ {
		offset += uint32(len(c.text(row)))
		out = binary.LittleEndian.AppendUint32(out, offset)
	}
	crc = crc32.Update(crc, crc32.IEEETable, out[begin:])
	if e.utf8 == 0 {
		return out, crc
	}
	out = appendHead(out, fieldUTF8, e.utf8)
	begin = len(out)
	for row := from; row < to; row++ {
		out = append(out, c.text(row)...)
	}
	return out, crc32.Update(crc, crc32.IEEETable, out[begin:])
}

// clearMissing makes the slots of missing values zero.
func (c *column) clearMissing(raw []byte, from, to int) {
	bytes := width(c.valueType)
	for i, isThere := range c.valid[from:to] {
		if !isThere {
			clear(raw[i*bytes : (i+1)*bytes])
		}
	}
}

func setBits(bitmap []byte, valid []bool) {
	for i, isThere := range valid {
		if isThere {
			bitmap[i/8] |= 1 << (i % 8)
		}
	}
}

// cut gives the row before which a message that begins with row `from` ends: it has about messageBytes, and a row at least.
func cut(columns []column, from, rows int) (to int) {
	fixed, hasStrings := 0, false
	for i := range columns {
		fixed += width(columns[i].valueType)
		hasStrings = hasStrings || columns[i].valueType == String
	}
	if !hasStrings {
		to = from + max(1, messageBytes/max(fixed, 1))
		// No tiny one is left behind.
		if rows-to < (to-from)/10 {
			return rows
		}
		return min(to, rows)
	}
	bytes := 0
	for to = from; to < rows; to++ {
		for i := range columns {
			bytes += columns[i].rowBytes(to)
		}
		if bytes > messageBytes && to > from {
			return to
		}
	}
	return rows
}
