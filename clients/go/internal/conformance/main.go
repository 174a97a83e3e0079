// The Go client as a driver of test/conformance: it reads a command a line, and writes an answer a line. See README.md there.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"regexp"
	"strings"

	optistore "github.com/optistore/optistore/clients/go"
	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// answer is the fields of an answer.
type answer map[string]any

// driver is the clients, and what they have open, by their names.
type driver struct {
	clients  map[string]*optistore.Client
	writers  map[string]*optistore.Writer
	readers  map[string]*optistore.Reader
	watchers map[string]*watcher
}

// watcher is events that are taken one by one.
type watcher struct {
	next func() (*pb.WatchResultsResponse, error, bool)
	stop func()
}

func watcherOf(events iter.Seq2[*pb.WatchResultsResponse, error]) *watcher {
	next, stop := iter.Pull2(events)
	return &watcher{next, stop}
}

func main() {
	driver := &driver{}
	driver.reset()
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			driver.reset()
			return
		}
		written, err := json.Marshal(driver.perform(line))
		if err != nil {
			panic(err)
		}
		if _, err := os.Stdout.Write(append(written, '\n')); err != nil {
			return
		}
	}
}

func (d *driver) reset() {
	for _, reader := range d.readers {
		reader.Close()
	}
	for _, watcher := range d.watchers {
		watcher.stop()
	}
	for _, writer := range d.writers {
		writer.Abandon()
	}
	for _, client := range d.clients {
		_ = client.Close()
	}
	d.clients, d.writers = map[string]*optistore.Client{}, map[string]*optistore.Writer{}
	d.readers, d.watchers = map[string]*optistore.Reader{}, map[string]*watcher{}
}

func (d *driver) perform(line []byte) answer {
	var command command
	if err := json.Unmarshal(line, &command); err != nil {
		panic(err)
	}
	told, err := verbs[command.Do](d, context.Background(), &command)
	var wrong *optistore.UsageError
	var failed *optistore.Error
	switch {
	case err == nil:
		if told == nil {
			told = answer{}
		}
		return answer{"ok": told}
	case errors.As(err, &wrong):
		return answer{"misuse": wrong.Message}
	case errors.As(err, &failed):
		said := answer{"code": codeName(failed.Code), "reason": nil, "message": failed.Message, "metadata": failed.Metadata}
		if failed.Reason != "" {
			said["reason"] = failed.Reason
		}
		if failed.Metadata == nil {
			said["metadata"] = answer{}
		}
		return answer{"error": said}
	default:
		panic(err)
	}
}

var capital = regexp.MustCompile(`([a-z])([A-Z])`)

// codeName gives the name of the contract, such as NOT_FOUND.
func codeName(code codes.Code) string {
	if code == codes.Canceled {
		return "CANCELLED"
	}
	return strings.ToUpper(capital.ReplaceAllString(code.String(), "${1}_$2"))
}

// message is protobuf JSON with the names of the .proto files.
func message(of proto.Message) json.RawMessage {
	written, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(of)
	if err != nil {
		panic(err)
	}
	return written
}

// collected takes all of an iteration.
func collected[Item proto.Message](items iter.Seq2[Item, error]) (all []json.RawMessage, err error) {
	all = []json.RawMessage{}
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, message(item))
	}
	return all, nil
}
