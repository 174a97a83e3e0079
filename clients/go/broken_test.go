package optistore_test

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	optistore "github.com/optistore/optistore/clients/go"
	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// breaking is a way to a daemon on which each connection breaks after some bytes.
func breaking(t *testing.T, to string, bytesMax int) (address string, broken *atomic.Int64) {
	t.Helper()
	listener := ok(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { listener.Close() })
	dice, broken := rand.New(rand.NewPCG(1, 2)), new(atomic.Int64)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			end := sync.OnceFunc(func() { broken.Add(1); from.Close(); there.Close() })
			for _, way := range [][2]net.Conn{{from, there}, {there, from}} {
				bytes := dice.Int64N(int64(bytesMax))
				go func() {
					_, _ = io.CopyN(way[0], way[1], bytes)
					end()
				}()
			}
		}
	}()
	return listener.Addr().String(), broken
}

func TestConnectionsMayBreakAnywhere(t *testing.T) {
	running, _ := killable(t)
	address, broken := breaking(t, running.address, 3<<20)
	client := dial(t, address)
	const rows = 500_000
	var writer *optistore.Writer
	for writer == nil {
		// Before the first answer an error is told at once.
		writer, _ = client.Save(t.Context(), "k", xAndLabel(), optistore.WithUploadID("k"))
	}
	defer writer.Close()
	for row := 0; row < rows; row += 10_000 {
		must(t, writer.Append(t.Context(), numbered(row, 5000)))
		for n := range 5000 {
			must(t, writer.AppendRow(t.Context(), float64(row+5000+n), itoa(row+5000+n)))
		}
	}
	expectEqual(t, ok(writer.Commit(t.Context()))(t).GetRowCount(), uint64(rows))
	for {
		reader, err := client.Load(t.Context(), "k")
		if err != nil {
			continue
		}
		expectNumbered(t, ok(reader.ReadAll())(t), 0, rows)
		break
	}
	if broken.Load() < 5 {
		t.Fatalf("only %d connections broke", broken.Load())
	}
}

func TestManyGoroutinesAppendToOneWriter(t *testing.T) {
	client := dial(t, "")
	writer := ok(client.Save(t.Context(), nameOf(t), xAndLabel()))(t)
	defer writer.Close()
	var appending sync.WaitGroup
	for range 8 {
		appending.Go(func() {
			for n := range 50 {
				if err := writer.Append(t.Context(), numbered(0, 100*n)); err != nil {
					t.Error(err)
				}
				if err := writer.AppendRow(t.Context(), -1.0, ""); err != nil {
					t.Error(err)
				}
				if n%10 == 0 {
					if _, err := writer.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	appending.Wait()
	expectEqual(t, ok(writer.Commit(t.Context()))(t).GetRowCount(), uint64(8*(100*49*50/2+50)))
	x := ok(ok(ok(client.Load(t.Context(), nameOf(t)))(t).ReadAll())(t).Float64("x"))(t)
	// The rows of an Append stay together: each is one more than the row before, or begins a run.
	for row := 1; row < x.Len(); row++ {
		if before, now := x.Values[row-1], x.Values[row]; now > 0 && now != before+1 {
			t.Fatalf("row %d is %v behind %v", row, now, before)
		}
	}
}

// liar is a daemon that sends what it should not.
type liar struct {
	pb.UnimplementedStorageServiceServer
	sample *pb.RowSample
	batch  *pb.RowBatch
}

func (l *liar) LoadResult(_ *pb.LoadResultRequest, stream grpc.ServerStreamingServer[pb.LoadResultResponse]) error {
	header := &pb.LoadHeader{Result: &pb.Result{}, Variables: everyType().GetVariables(), RowCount: 2, Sample: l.sample}
	_ = stream.Send(&pb.LoadResultResponse{Message: &pb.LoadResultResponse_Header{Header: header}})
	_ = stream.Send(&pb.LoadResultResponse{Message: &pb.LoadResultResponse_Batch{Batch: l.batch}})
	return stream.Send(&pb.LoadResultResponse{Message: &pb.LoadResultResponse_Trailer{Trailer: &pb.LoadTrailer{RowCount: 2}}})
}

func TestDamagedRowsAreNotGiven(t *testing.T) {
	server := &liar{}
	good := func() *pb.RowBatch {
		return &pb.RowBatch{RowCount: 2, Crc32: crcOf(0x3623f8da), Columns: []*pb.Column{
			{Values: &pb.Column_Float64Values{Float64Values: make([]byte, 16)}},
			{Values: &pb.Column_Int64Values{Int64Values: make([]byte, 16)}},
			{Values: &pb.Column_BoolValues{BoolValues: []byte{0, 1}}},
			{Values: &pb.Column_StringValues{StringValues: &pb.StringValues{Offsets: []byte{0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0}, Utf8: []byte("ab")}}},
		}}
	}
	listener := ok(net.Listen("tcp", "127.0.0.1:0"))(t)
	serving := grpc.NewServer()
	pb.RegisterStorageServiceServer(serving, server)
	go func() { _ = serving.Serve(listener) }()
	t.Cleanup(serving.Stop)
	client := dial(t, listener.Addr().String())
	load := func(batch *pb.RowBatch) error {
		server.batch = batch
		_, err := ok(client.Load(t.Context(), "k"))(t).ReadAll()
		return err
	}
	must(t, load(good()))
	for name, damage := range map[string]func(*pb.RowBatch){
		"a checksum that is not there":     func(b *pb.RowBatch) { b.Crc32 = nil },
		"another checksum":                 func(b *pb.RowBatch) { b.Crc32 = crcOf(1) },
		"a bit":                            func(b *pb.RowBatch) { b.Columns[3].GetStringValues().Utf8[0] ^= 1 },
		"a gap":                            func(b *pb.RowBatch) { b.FirstRow = 1 },
		"rows that are too many":           func(b *pb.RowBatch) { b.RowCount = 3 },
		"rows that are too few":            func(b *pb.RowBatch) { b.RowCount = 1 },
		"no rows":                          func(b *pb.RowBatch) { b.RowCount = 0 },
		"a column that is missing":         func(b *pb.RowBatch) { b.Columns = b.Columns[:3] },
		"row numbers of no set or sample":  func(b *pb.RowBatch) { b.RowNumbers = make([]byte, 16) },
		"columns that are in other places": func(b *pb.RowBatch) { b.Columns[0], b.Columns[1] = b.Columns[1], b.Columns[0] },
	} {
		batch := good()
		damage(batch)
		if err := load(batch); status.Code(err) != codes.DataLoss {
			t.Errorf("%s: %v", name, err)
		}
	}
	server.sample = &pb.RowSample{RowCount: 2}
	for wanted, numbers := range map[codes.Code][][]byte{codes.OK: {make([]byte, 16)}, codes.DataLoss: {nil, {1}, make([]byte, 24)}} {
		for _, numbers := range numbers {
			batch := good()
			batch.RowNumbers = numbers
			if err := load(batch); status.Code(err) != wanted {
				t.Errorf("a sample with %d bytes of row numbers: %v", len(numbers), err)
			}
		}
	}
}

func crcOf(crc uint32) *uint32 { return &crc }
