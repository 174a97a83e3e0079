package optistore_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	optistore "github.com/optistore/optistore/clients/go"
	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

// TestMain tests against the daemon of OPTISTORE_SERVER, or one that OPTISTORE_COMMAND starts; that is by default the one that
// `make build` makes.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv("OPTISTORE_SERVER") != "" {
			return m.Run()
		}
		folder, err := os.MkdirTemp("", "optistore-go-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(folder)
		socket := filepath.Join(folder, "socket")
		daemon, err := startDaemon("--path", filepath.Join(folder, "data"), "--listen", "127.0.0.1:0", "--socket", socket)
		if err != nil {
			fmt.Fprintln(os.Stderr, "no daemon to test against:", err)
			return 1
		}
		defer daemon.kill()
		os.Setenv("OPTISTORE_SERVER", daemon.address)
		os.Setenv("OPTISTORE_TEST_SOCKET", socket)
		return m.Run()
	}())
}

// daemon is one in a process of its own, which can be killed.
type daemon struct {
	address string
	kill    func()
}

// command is that of optistore.
func command() string {
	if line := os.Getenv("OPTISTORE_COMMAND"); line != "" {
		return line
	}
	return "node ../../dist/bin/optistore.js"
}

func startDaemon(flags ...string) (*daemon, error) {
	line := command()
	words := append(strings.Fields(line), append([]string{"serve"}, flags...)...)
	process := exec.Command(words[0], words[1:]...)
	log, err := process.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	lines, said := bufio.NewScanner(log), ""
	for lines.Scan() {
		said += lines.Text() + "\n"
		var entry struct{ Msg, Grpc string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
			read := make(chan struct{})
			go func() {
				defer close(read)
				for lines.Scan() {
				}
			}()
			return &daemon{entry.Grpc, sync.OnceFunc(func() {
				_ = process.Process.Kill()
				<-read
				_ = process.Wait()
			})}, nil
		}
	}
	return nil, fmt.Errorf("%s ended with %v: %s", line, process.Wait(), said)
}

// killable starts a daemon for one test, which runs beside others; restart starts it again on the same data and address.
func killable(t *testing.T) (running *daemon, restart func()) {
	t.Helper()
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	running = &daemon{}
	start := func(address string) {
		started, err := startDaemon("--path", path, "--listen", address)
		if err != nil {
			t.Fatal(err)
		}
		*running = *started
	}
	start("127.0.0.1:0")
	t.Cleanup(func() { running.kill() })
	return running, func() { start(running.address) }
}

// dial makes a client that is closed at the end.
func dial(t testing.TB, address string, options ...optistore.Option) *optistore.Client {
	t.Helper()
	client, err := optistore.Dial(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func variable(name string, valueType pb.ValueType) *optistore.Variable {
	return &optistore.Variable{Name: name, Role: optistore.Observable, ValueType: valueType}
}

// xAndLabel is a problem of a float64 and a string.
func xAndLabel() *optistore.Problem {
	return &optistore.Problem{Variables: []*optistore.Variable{variable("x", optistore.Float64), variable("label", optistore.String)}}
}

// save commits a result of numbers under the test's name, which it gives.
func save(t testing.TB, client *optistore.Client, rows int) string {
	t.Helper()
	writer := ok(client.Save(t.Context(), nameOf(t), xAndLabel()))(t)
	defer writer.Close()
	if err := writer.Append(t.Context(), numbered(0, rows)); err != nil {
		t.Fatal(err)
	}
	ok(writer.Commit(t.Context()))(t)
	return nameOf(t)
}

// numbered are rows whose values are their numbers.
func numbered(first, rows int) optistore.Columns {
	x, labels := make([]float64, rows), make([]string, rows)
	for row := range rows {
		x[row], labels[row] = float64(first+row), itoa(first+row)
	}
	return optistore.Columns{"x": x, "label": labels}
}

// expectNumbered fails unless the batch has these rows of numbered.
func expectNumbered(t testing.TB, batch *optistore.Batch, first, rows int) {
	t.Helper()
	x, labels := ok(batch.Float64("x"))(t), ok(batch.String("label"))(t)
	if batch.RowCount != rows || x.Len() != rows || labels.Len() != rows {
		t.Fatalf("%d rows came where %d were due", batch.RowCount, rows)
	}
	for row := range rows {
		if x.Values[row] != float64(first+row) || labels.Values[row] != itoa(first+row) {
			t.Fatalf("row %d is %v, %s", first+row, x.Values[row], labels.Values[row])
		}
	}
}

// ok gives what a call gave; it fails the test where that was an error.
func ok[T any](value T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// expectReason fails unless the error has this reason.
func expectReason(t testing.TB, err error, reason string) {
	t.Helper()
	if optistore.ReasonOf(err) != reason {
		t.Fatalf("%v came where %s was due", err, reason)
	}
}

// write makes a file, and gives its path.
func write(t testing.TB, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func itoa(n int) string { return strconv.Itoa(n) }

var names sync.Map

// nameOf is a key and an upload id for a test, which no earlier run has used: its own for as long as it runs.
func nameOf(t testing.TB) string {
	name, _ := names.LoadOrStore(t, fmt.Sprintf("%s-%x", t.Name(), rand.Uint64()))
	return name.(string)
}
