package optistore_test

import (
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	optistore "github.com/optistore/optistore/clients/go"
	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

func TestPartsOfAResult(t *testing.T) {
	client := dial(t, "")
	key := save(t, client, 50_000)
	labels := ok(ok(client.Load(t.Context(), key, optistore.WithColumns("label"), optistore.WithRows(100, 200)))(t).ReadAll())(t)
	expectEqual(t, []uint64{labels.FirstRow, uint64(labels.RowCount)}, []uint64{100, 100})
	expectEqual(t, ok(labels.String("label"))(t).Values[99], "199")
	_, err := labels.Float64("x")
	expectUsage(t, err, "not loaded")
	_, err = labels.Float64("label")
	expectUsage(t, err, "holds")

	batches := 0
	for batch, err := range ok(client.Load(t.Context(), key, optistore.WithMaxBatchBytes(64<<10)))(t).Batches() {
		must(t, err)
		if batches++; batch.RowCount > 8192 {
			t.Fatal(batch.RowCount)
		}
	}
	if batches < 7 {
		t.Fatal(batches)
	}
	none := ok(ok(client.Load(t.Context(), key, optistore.WithRows(7, 7)))(t).ReadAll())(t)
	expectEqual(t, none.RowCount, 0)
	expectEqual(t, ok(none.Float64("x"))(t).Len(), 0)

	first := ok(client.Get(t.Context(), key))(t).GetRevision()
	ok(client.Delete(t.Context(), key, optistore.DeleteOptions{ExpectedRevision: &first}))(t)
	expectNumbered(t, ok(ok(client.Load(t.Context(), key, optistore.WithRevision(first)))(t).ReadAll())(t), 0, 50_000)
	for reason, options := range map[string][]optistore.LoadOption{
		"RESULT_NOT_FOUND":   nil,
		"REVISION_NOT_FOUND": {optistore.WithRevision(999_999)},
		"COLUMN_NOT_FOUND":   {optistore.WithRevision(first), optistore.WithColumns("y")},
		"ROW_RANGE_INVALID":  {optistore.WithRevision(first), optistore.WithFirstRow(50_001)},
		"NO_SECONDARY":       {optistore.WithFrom(optistore.Secondary)},
	} {
		_, err := client.Load(t.Context(), key, options...)
		expectReason(t, err, reason)
	}
	_, err = client.Load(t.Context(), key, optistore.WithResultSet(""))
	expectUsage(t, err, "has a name")
}

func TestASampleShowsALargeResult(t *testing.T) {
	client := dial(t, "")
	key := save(t, client, 20_000)
	reader := ok(client.Load(t.Context(), key, optistore.WithSampleRows(1000)))(t)
	expectEqual(t, reader.Header().GetResult().GetRowCount(), uint64(20_000))
	sample := reader.Header().GetSample()
	all := ok(reader.ReadAll())(t)
	expectEqual(t, uint64(all.RowCount), sample.GetRowCount())
	if all.RowCount > 1000 || len(all.RowNumbers) != all.RowCount || all.RowNumbers[0] != 0 || all.RowNumbers[all.RowCount-1] != 19_999 {
		t.Fatal(all.RowCount, all.RowNumbers)
	}
	labels := ok(all.String("label"))(t)
	for i, row := range all.RowNumbers {
		expectEqual(t, labels.Values[i], itoa(int(row)))
	}
	part := ok(ok(client.Load(t.Context(), key, optistore.WithSampleRows(1000), optistore.WithRows(100, 200)))(t).ReadAll())(t)
	expectEqual(t, part.FirstRow, uint64(100))
	expectEqual(t, part.RowNumbers, all.RowNumbers[100:200])

	reader = ok(client.Load(t.Context(), key, optistore.WithSampleRows(20_000)))(t)
	if reader.Header().GetSample() != nil {
		t.Fatal("all rows are said to be a sample")
	}
	all = ok(reader.ReadAll())(t)
	expectNumbered(t, all, 0, 20_000)
	expectEqual(t, len(all.RowNumbers), 0)
	_, err := client.Load(t.Context(), key, optistore.WithSampleRows(999))
	expectReason(t, err, "REQUEST_INVALID")
}

func TestRowsOfResultSets(t *testing.T) {
	client := dial(t, "")
	writer := ok(client.Save(t.Context(), nameOf(t), xAndLabel()))(t)
	defer writer.Close()
	must(t, writer.Append(t.Context(), numbered(0, 10_000)))
	even := make([]uint64, 0, 5000)
	for row := uint64(0); row < 10_000; row += 2 {
		even = append(even, row)
	}
	sparse := []uint64{3, 4, 500, 7001}
	ok(writer.Commit(t.Context(),
		optistore.WithSet(optistore.Set{Name: "even", Rows: optistore.RowList(even...)}),
		optistore.WithSet(optistore.Set{Name: "sparse", Rows: optistore.RowList(sparse...), CreatedBy: "me"}),
		optistore.WithSet(optistore.Set{Name: "none"})))(t)
	ok(client.PutResultSet(t.Context(), nameOf(t), optistore.Set{Name: "run", Rows: []optistore.RowRange{{First: 10, End: 20}}}))(t)
	ok(client.PutResultSet(t.Context(), nameOf(t), optistore.Set{Name: "both", Operation: optistore.Intersection, Parents: []string{"even", "run"}}))(t)

	for name, rows := range map[string][]uint64{"even": even, "sparse": sparse, "none": nil, "both": {10, 12, 14, 16, 18}} {
		all := ok(ok(client.Load(t.Context(), nameOf(t), optistore.WithResultSet(name)))(t).ReadAll())(t)
		expectEqual(t, all.RowNumbers, rows)
		x := ok(all.Float64("x"))(t)
		for i, row := range rows {
			expectEqual(t, x.Values[i], float64(row))
		}
	}
	result := ok(client.DeleteResultSet(t.Context(), nameOf(t), "even", nil))(t)
	expectEqual(t, len(result.GetResultSets()), 4)
	_, err := client.Load(t.Context(), nameOf(t), optistore.WithResultSet("even"))
	expectReason(t, err, "RESULT_SET_NOT_FOUND")
	_, err = client.PutResultSet(t.Context(), nameOf(t), optistore.Set{Name: "odd", Rows: optistore.RowList(5, 5)})
	expectUsage(t, err, "ascending")
}

func TestFollowerReadsAlong(t *testing.T) {
	client := dial(t, "")
	writer := ok(client.Save(t.Context(), nameOf(t), xAndLabel(), optistore.WithUploadID(nameOf(t))))(t)
	defer writer.Close()
	must(t, writer.Append(t.Context(), numbered(0, 1000)))
	ok(writer.Flush(t.Context()))(t)
	reader := ok(client.Load(t.Context(), nameOf(t), optistore.WithFollow("")))(t)
	expectEqual(t, reader.Header().GetResult().GetState(), pb.ResultState_RESULT_STATE_UPLOADING)
	next := 0
	for next < 2000 {
		batch := ok(reader.Next())(t)
		expectNumbered(t, batch, next, batch.RowCount)
		if next += batch.RowCount; next == 1000 {
			must(t, writer.Append(t.Context(), numbered(1000, 1000)))
		}
	}
	result := ok(writer.Commit(t.Context()))(t)
	if _, err := reader.Next(); err != io.EOF {
		t.Fatal(err)
	}
	expectEqual(t, reader.Committed().GetRevision(), result.GetRevision())
	again := ok(client.Load(t.Context(), nameOf(t), optistore.WithFollow(nameOf(t)), optistore.WithFirstRow(500)))(t)
	all := ok(again.ReadAll())(t)
	expectNumbered(t, all, 500, 1500)
	expectEqual(t, again.Committed().GetRowCount(), uint64(2000))
}

func TestAFollowerOutlivesTheDaemon(t *testing.T) {
	running, restart := killable(t)
	client := dial(t, running.address)
	writer := ok(client.Save(t.Context(), "k", xAndLabel()))(t)
	defer writer.Close()
	reader := ok(client.Load(t.Context(), "k", optistore.WithFollow(writer.UploadID())))(t)
	must(t, writer.Append(t.Context(), numbered(0, 1000)))
	ok(writer.Flush(t.Context()))(t)
	running.kill()
	must(t, writer.Append(t.Context(), numbered(1000, 1000)))
	restart()
	ok(writer.Commit(t.Context()))(t)
	expectNumbered(t, ok(reader.ReadAll())(t), 0, 2000)
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	func() {
		client, err := optistore.Dial("")
		must(t, err)
		defer client.Close()
		key := save(t, client, 200_000)
		for _, err := range ok(client.Load(t.Context(), key))(t).Batches() {
			must(t, err)
			break
		}
		reader := ok(client.Load(t.Context(), key))(t)
		ok(reader.Next())(t)
		reader.Close()
		_, err = client.Load(t.Context(), "nothing")
		expectReason(t, err, "RESULT_NOT_FOUND")
		_, err = client.Save(t.Context(), "/wrong", xAndLabel())
		expectReason(t, err, "KEY_INVALID")
		left := ok(client.Save(t.Context(), key, xAndLabel()))(t)
		left.Abandon()
		forgotten := ok(client.Save(t.Context(), key, xAndLabel()))(t)
		must(t, forgotten.AppendRow(t.Context(), 1.0, ""))
		for range client.Watch(t.Context(), optistore.WatchOptions{}) {
			break
		}
	}()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Fatalf("%d goroutines were there, now %d:\n%s", before, runtime.NumGoroutine(), stacks)
		}
	}
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
