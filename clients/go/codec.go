package optistore

import (
	"fmt"
	"unsafe"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"
)

// encoded is a message that is ready to be sent.
type encoded []byte

// loaded is a LoadResultResponse of which rows are views.
type loaded struct {
	header  *pb.LoadHeader
	batch   *wireBatch
	trailer *pb.LoadTrailer
}

// wireBatch is a RowBatch, whose bytes lie in the message that it came in.
type wireBatch struct {
	firstRow   uint64
	rows       int
	columns    []wireColumn
	crc        uint32
	hasCRC     bool
	rowNumbers []byte
}

// wireColumn is a Column.
type wireColumn struct {
	valueType pb.ValueType
	// raw has the values; of strings, their UTF-8.
	raw      []byte
	offsets  []byte
	validity []byte
}

// rowsCodec sends messages that are ready, and reads rows without copying them out of their message; all else is protobuf's.
type rowsCodec struct{}

var protoCodec = encoding.GetCodecV2(proto.Name)

// Name is that of protobuf, as on the wire it is nothing else.
func (rowsCodec) Name() string { return proto.Name }

func (rowsCodec) Marshal(message any) (mem.BufferSlice, error) {
	if ready, is := message.(encoded); is {
		return mem.BufferSlice{mem.SliceBuffer(ready)}, nil
	}
	return protoCodec.Marshal(message)
}

func (rowsCodec) Unmarshal(data mem.BufferSlice, message any) error {
	to, is := message.(*loaded)
	if !is {
		return protoCodec.Unmarshal(data, message)
	}
	// The daemon aligns numbers by the message with its frame's head: so they can be used where they lie.
	framed := make([]byte, frameHeadBytes+data.Len())
	data.CopyTo(framed[frameHeadBytes:])
	return to.decode(framed[frameHeadBytes:])
}

// fields reads a message's fields one after the other; number has varint and fixed32, bytes all else.
func fields(message []byte, take func(field protowire.Number, number uint64, bytes []byte) error) error {
	for len(message) > 0 {
		field, wireType, read := protowire.ConsumeTag(message)
		if read < 0 {
			return protowire.ParseError(read)
		}
		message = message[read:]
		var number uint64
		var bytes []byte
		switch wireType {
		case protowire.VarintType:
			number, read = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			bytes, read = protowire.ConsumeBytes(message)
		case protowire.Fixed32Type:
			var fixed uint32
			fixed, read = protowire.ConsumeFixed32(message)
			number = uint64(fixed)
		default:
			read = protowire.ConsumeFieldValue(field, wireType, message)
		}
		if read < 0 {
			return protowire.ParseError(read)
		}
		message = message[read:]
		if err := take(field, number, bytes); err != nil {
			return err
		}
	}
	return nil
}

func (l *loaded) decode(message []byte) error {
	*l = loaded{}
	return fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		switch field {
		case 1:
			l.header = &pb.LoadHeader{}
			return protobuf.Unmarshal(bytes, l.header)
		case fieldBatch:
			l.batch = &wireBatch{}
			return l.batch.decode(bytes)
		case 3:
			l.trailer = &pb.LoadTrailer{}
			return protobuf.Unmarshal(bytes, l.trailer)
		}
		return nil
	})
}

func (b *wireBatch) decode(message []byte) error {
	return fields(message, func(field protowire.Number, number uint64, bytes []byte) error {
		switch field {
		case fieldFirstRow:
			b.firstRow = number
		case fieldRowCount:
			if number > 1<<31-1 {
				return fmt.Errorf("a batch of %d rows", number)
			}
			b.rows = int(number)
		case fieldColumns:
			b.columns = append(b.columns, wireColumn{})
			return b.columns[len(b.columns)-1].decode(bytes)
		case fieldCRC32:
			b.crc, b.hasCRC = uint32(number), true
		case fieldRowNumbers:
			b.rowNumbers = bytes
		}
		return nil
	})
}

func (c *wireColumn) decode(message []byte) error {
	return fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		switch field {
		case fieldFloat64:
			c.valueType, c.raw = Float64, bytes
		case fieldInt64:
			c.valueType, c.raw = Int64, bytes
		case fieldBool:
			c.valueType, c.raw = Bool, bytes
		case fieldStrings:
			c.valueType = String
			return fields(bytes, func(field protowire.Number, _ uint64, bytes []byte) error {
				switch field {
				case fieldOffsets:
					c.offsets = bytes
				case fieldUTF8:
					c.raw = bytes
				}
				return nil
			})
		case fieldValidity:
			c.validity = bytes
		}
		return nil
	})
}

// isAligned says whether numbers can be used where they lie.
func isAligned(raw []byte) bool {
	return isLittleEndian && uintptr(unsafe.Pointer(unsafe.SliceData(raw)))%8 == 0
}
