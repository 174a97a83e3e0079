package optistore_test

import (
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	optistore "github.com/optistore/optistore/clients/go"
)

func everyType() *optistore.Problem {
	return &optistore.Problem{Variables: []*optistore.Variable{
		variable("f", optistore.Float64), variable("i", optistore.Int64), variable("b", optistore.Bool), variable("s", optistore.String),
	}}
}

func TestEveryTypeComesBackBitForBit(t *testing.T) {
	for door, address := range map[string]string{"tcp": "", "socket": "unix:" + os.Getenv("OPTISTORE_TEST_SOCKET")} {
		t.Run(door, func(t *testing.T) {
			client := dial(t, address)
			valid := []bool{true, false, true}
			odd := math.Float64frombits(0x7ff4_dead_beef_0001)
			given := optistore.Columns{
				"f": optistore.Optional[float64]{Values: []float64{odd, 1, math.Copysign(0, -1)}, Valid: valid},
				"i": optistore.Optional[int64]{Values: []int64{math.MinInt64, 7, math.MaxInt64}, Valid: valid},
				"b": optistore.Optional[bool]{Values: []bool{true, true, false}, Valid: valid},
				"s": optistore.Optional[string]{Values: []string{"", "gone", "Zürich 🎈 日本\x00"}, Valid: valid},
			}
			whole := optistore.Columns{"f": []float64{1}, "i": []int{2}, "b": []bool{true}, "s": []string{"end"}}
			writer := ok(client.Save(t.Context(), nameOf(t), everyType()))(t)
			defer writer.Close()
			// Many rows before and behind, so that numbers are aligned and bitmaps begin within a byte.
			for range 300 {
				must(t, writer.Append(t.Context(), given))
				must(t, writer.Append(t.Context(), whole))
				must(t, writer.AppendRow(t.Context(), odd, nil, nil, "row"))
			}
			result := ok(writer.Commit(t.Context()))(t)
			if result.GetRowCount() != 1500 || result.GetColumns()[0].GetMissingCount() != 300 || result.GetColumns()[1].GetMissingCount() != 600 {
				t.Fatal(result)
			}
			for _, option := range []optistore.LoadOption{optistore.WithMaxBatchBytes(0), optistore.WithRows(5, 1500)} {
				all := ok(ok(client.Load(t.Context(), nameOf(t), option))(t).ReadAll())(t)
				f, i := ok(all.Float64("f"))(t), ok(all.Int64("i"))(t)
				b, s := ok(all.Bool("b"))(t), ok(all.String("s"))(t)
				for row := 0; row < all.RowCount; row += 5 {
					bits := []uint64{0x7ff4_dead_beef_0001, 0, 1 << 63, math.Float64bits(1), 0x7ff4_dead_beef_0001}
					for k, want := range bits {
						if math.Float64bits(f.Values[row+k]) != want || f.Valid[row+k] != (k != 1) {
							t.Fatalf("row %d is %x, %v", row+k, math.Float64bits(f.Values[row+k]), f.Valid[row+k])
						}
					}
					expectEqual(t, i.Values[row:row+5], []int64{math.MinInt64, 0, math.MaxInt64, 2, 0})
					expectEqual(t, i.Valid[row:row+5], []bool{true, false, true, true, false})
					expectEqual(t, b.Values[row:row+5], []bool{true, false, false, true, false})
					expectEqual(t, b.Valid[row:row+5], []bool{true, false, true, true, false})
					expectEqual(t, s.Values[row:row+5], []string{"", "", "Zürich 🎈 日本\x00", "end", "row"})
					expectEqual(t, s.Valid[row:row+5], []bool{true, false, true, true, true})
				}
			}
		})
	}
}

func TestRowsOfABatchAreSavedAsTheyAre(t *testing.T) {
	client := dial(t, "")
	key := save(t, client, 100_000)
	writer := ok(client.Save(t.Context(), key+"/again", xAndLabel()))(t)
	defer writer.Close()
	for batch, err := range ok(client.Load(t.Context(), key))(t).Batches() {
		must(t, err)
		must(t, writer.Append(t.Context(), batch.Columns()))
	}
	again := ok(writer.Commit(t.Context()))(t)
	first := ok(client.Get(t.Context(), key))(t)
	expectEqual(t, again.GetColumns()[0].GetValuesCrc32(), first.GetColumns()[0].GetValuesCrc32())
	expectEqual(t, again.GetColumns()[1].GetLengthsCrc32(), first.GetColumns()[1].GetLengthsCrc32())
}

func TestWhatDoesNotFitIsRefusedAndNothingIsSent(t *testing.T) {
	client := dial(t, "")
	writer := ok(client.Save(t.Context(), nameOf(t), xAndLabel()))(t)
	defer writer.Close()
	for wrong, given := range map[string]optistore.Columns{
		"missing":   {"x": []float64{1}},
		"none of":   {"x": []float64{1}, "label": []string{"a"}, "y": []float64{1}},
		"rows":      {"x": []float64{1}, "label": []string{"a", "b"}},
		"takes":     {"x": []int64{1}, "label": []string{"a"}},
		"float32":   {"x": []float32{1}, "label": []string{"a"}},
		"at most":   {"x": []float64{1}, "label": []string{strings.Repeat("a", 64<<10+1)}},
		"not UTF-8": {"x": []float64{1}, "label": []string{"\xff"}},
		"whether":   {"x": optistore.Optional[float64]{Values: []float64{1}, Valid: []bool{}}, "label": []string{"a"}},
	} {
		expectUsage(t, writer.Append(t.Context(), given), wrong)
	}
	expectUsage(t, writer.AppendRow(t.Context(), 1.0), "2 variables")
	expectUsage(t, writer.AppendRow(t.Context(), 1, "a"), "takes")
	expectUsage(t, writer.AppendRow(t.Context(), 1.0, "\xff"), "not UTF-8")
	if writer.NextRow() != 0 {
		t.Fatal("rows were taken")
	}
	must(t, writer.AppendRow(t.Context(), 0.0, "0"))
	ok(writer.Commit(t.Context()))(t)
}

func TestLargeAndWideRows(t *testing.T) {
	client := dial(t, "")
	text := strings.Repeat("ü", 32<<10)
	problem, row, columns := &optistore.Problem{}, []any{}, optistore.Columns{}
	for i := range 16 {
		name := "s" + string(rune('a'+i))
		problem.Variables = append(problem.Variables, variable(name, optistore.String))
		row, columns[name] = append(row, text), []string{text, "", text, text, text, text}
	}
	writer := ok(client.Save(t.Context(), nameOf(t), problem))(t)
	defer writer.Close()
	must(t, writer.AppendRow(t.Context(), row...))
	must(t, writer.Append(t.Context(), columns))
	must(t, writer.AppendRow(t.Context(), row...))
	result := ok(writer.Commit(t.Context()))(t)
	expectEqual(t, result.GetRowCount(), uint64(8))
	all := ok(ok(client.Load(t.Context(), nameOf(t)))(t).ReadAll())(t)
	s := ok(all.String("sp"))(t)
	expectEqual(t, s.Values, []string{text, text, "", text, text, text, text, text})
}

func TestAMillionRowsOneByOne(t *testing.T) {
	client := dial(t, "")
	problem := &optistore.Problem{Variables: []*optistore.Variable{variable("x", optistore.Float64), variable("n", optistore.Int64)}}
	writer := ok(client.Save(t.Context(), nameOf(t), problem))(t)
	defer writer.Close()
	const rows = 1_000_000
	for n := range rows {
		if err := writer.AppendRow(t.Context(), float64(n)/2, n); err != nil {
			t.Fatal(err)
		}
	}
	expectEqual(t, ok(writer.Commit(t.Context()))(t).GetRowCount(), uint64(rows))
	all := ok(ok(client.Load(t.Context(), nameOf(t)))(t).ReadAll())(t)
	x, n := ok(all.Float64("x"))(t), ok(all.Int64("n"))(t)
	for row := range rows {
		if x.Values[row] != float64(row)/2 || n.Values[row] != int64(row) {
			t.Fatalf("row %d is %v, %v", row, x.Values[row], n.Values[row])
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expectEqual(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%v came where %v was due", got, want)
	}
}

func expectUsage(t testing.TB, err error, says string) {
	t.Helper()
	if _, is := err.(*optistore.UsageError); !is || !strings.Contains(err.Error(), says) {
		t.Fatalf("%v came where a UsageError of %q was due", err, says)
	}
}
