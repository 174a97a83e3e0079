package optistore

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// someRows makes rows of columns of any type, of which values may be missing.
func someRows(dice *rand.Rand, rows int) (variables []*pb.Variable, columns []column) {
	for range 1 + dice.IntN(6) {
		made := column{valueType: []pb.ValueType{Float64, Int64, Bool, String}[dice.IntN(4)], rows: rows}
		if made.valueType == String {
			for range rows {
				made.texts = append(made.texts, strings.Repeat("ä", dice.IntN(20)))
			}
		}
		for range rows * width(made.valueType) {
			made.raw = append(made.raw, byte(dice.IntN(2)))
		}
		if dice.IntN(2) == 0 {
			for range rows {
				made.valid = append(made.valid, dice.IntN(3) > 0)
			}
		}
		variables = append(variables, &pb.Variable{Name: string(rune('a' + len(columns))), ValueType: made.valueType})
		columns = append(columns, made)
	}
	return variables, columns
}

func TestWhatIsEncodedIsWhatTheContractSays(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	aligned := 0
	for range 300 {
		rows := 1 + dice.IntN(3000)
		variables, columns := someRows(dice, rows)
		from := dice.IntN(rows)
		to, firstRow := from+1+dice.IntN(rows-from), dice.Uint64N(1<<40)
		message := encodeBatch(columns, firstRow, from, to)
		var request pb.SaveResultRequest
		if err := proto.Unmarshal(message, &request); err != nil || len(request.ProtoReflect().GetUnknown()) > 0 {
			t.Fatal(err)
		}
		if request.GetBatch().GetFirstRow() != firstRow || request.GetBatch().GetRowCount() != uint32(to-from) {
			t.Fatal(request.GetBatch().GetFirstRow(), request.GetBatch().GetRowCount())
		}
		// An answer has its batch in the same field.
		var response loaded
		if err := (rowsCodec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(message)}, &response); err != nil {
			t.Fatal(err)
		}
		if err := response.batch.check(variables); err != nil {
			t.Fatal(err)
		}
		for i := range columns {
			read := &response.batch.columns[i]
			expectRows(t, &columns[i], read, from, to)
			if width(read.valueType) == 8 && len(read.raw) >= alignedBytesMin {
				if aligned++; !isAligned(read.raw) {
					t.Fatalf("%d bytes of column %d are not aligned", len(read.raw), i)
				}
			}
			if padding := request.GetBatch().GetColumns()[i].GetPadding(); len(padding) > 7 {
				t.Fatal(len(padding))
			}
		}
	}
	if aligned < 100 {
		t.Fatal(aligned)
	}
}

func expectRows(t *testing.T, written *column, read *wireColumn, from, to int) {
	t.Helper()
	batch := &Batch{RowCount: to - from, Variables: []*pb.Variable{{Name: "c", ValueType: read.valueType}}, columns: []wireColumn{*read}}
	valid := read.valid(to - from)
	bytes := width(read.valueType)
	for row := from; row < to; row++ {
		isThere := written.valid == nil || written.valid[row]
		if (valid == nil || valid[row-from]) != isThere {
			t.Fatalf("row %d is there: %v", row, !isThere)
		}
		wanted := make([]byte, bytes)
		if isThere && bytes > 0 {
			copy(wanted, written.raw[row*bytes:])
		}
		if string(wanted) != string(read.raw[(row-from)*bytes:][:bytes]) {
			t.Fatalf("row %d has other bytes", row)
		}
	}
	if texts, err := batch.String("c"); err == nil {
		for row := range texts.Values {
			if texts.Values[row] != written.text(from+row) {
				t.Fatalf("row %d is %q", row, texts.Values[row])
			}
		}
	}
}

func TestBrokenMessagesAreRefusedAndDoNoHarm(t *testing.T) {
	dice := rand.New(rand.NewPCG(5, 6))
	for range 20_000 {
		rows := 1 + dice.IntN(20)
		variables, columns := someRows(dice, rows)
		message := encodeBatch(columns, 0, 0, rows)
		for range 1 + dice.IntN(3) {
			message[dice.IntN(len(message))] ^= 1 << dice.IntN(8)
		}
		var response loaded
		if response.decode(message[:len(message)-dice.IntN(2)]) != nil || response.batch == nil || response.batch.rows > 1000 {
			continue
		}
		batch := response.batch
		for i := range batch.columns {
			if i < len(variables) && batch.columns[i].fits(variables[i].GetValueType(), batch.rows) {
				one := &Batch{RowCount: batch.rows, Variables: variables[i : i+1], columns: batch.columns[i : i+1]}
				_ = one.Columns()
			}
		}
	}
}

func TestRowNumbersHaveTheirSmallestForm(t *testing.T) {
	every := func(step, count uint64) (rows []uint64) {
		for n := range count {
			rows = append(rows, n*step)
		}
		return rows
	}
	for form, rows := range map[string][]RowRange{
		"*optistorev1.RowNumbers_Ranges": {{0, 1_000_000}},
		"*optistorev1.RowNumbers_Bitmap": RowList(every(2, 1000)...),
		"*optistorev1.RowNumbers_Deltas": RowList(every(100, 1000)...),
		"<nil>":                          nil,
	} {
		made, err := rowNumbers(Set{Name: "s", Rows: rows})
		if err != nil || typeName(made.GetForm()) != form {
			t.Errorf("%s: %T %v", form, made.GetForm(), err)
		}
	}
}

func typeName(value any) string { return fmt.Sprintf("%T", value) }
