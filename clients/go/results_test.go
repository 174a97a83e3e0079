package optistore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	optistore "github.com/optistore/optistore/clients/go"
	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

func TestMetadataIsChangedAndFound(t *testing.T) {
	client, ctx := dial(t, ""), t.Context()
	key := save(t, client, 10)
	description, outcome := "a text", optistore.Failed
	changed := ok(client.Update(ctx, key, optistore.Changes{
		Tags: map[string]string{"a": "1", "b": "2"}, Attributes: map[string]any{"n": 1.5, "list": []any{true, nil}},
		Description: &description, Outcome: &outcome, ExpectedRevision: optistore.Revision(ok(client.Get(ctx, key))(t).GetRevision()),
	}))(t)
	expectEqual(t, changed.GetTags(), map[string]string{"a": "1", "b": "2"})
	expectEqual(t, changed.GetAttributes().AsMap(), map[string]any{"n": 1.5, "list": []any{true, nil}})
	expectEqual(t, []any{changed.GetDescription(), changed.GetOutcome()}, []any{"a text", optistore.Failed})
	changed = ok(client.Update(ctx, key, optistore.Changes{RemoveTags: []string{"a"}, Attributes: map[string]any{}}))(t)
	expectEqual(t, changed.GetTags(), map[string]string{"b": "2"})
	expectEqual(t, len(changed.GetAttributes().GetFields()), 0)
	expectEqual(t, changed.GetDescription(), "a text")

	_, err := client.Update(ctx, key, optistore.Changes{Description: &description, ExpectedRevision: optistore.Revision(1 << 40)})
	expectReason(t, err, "REVISION_MISMATCH")
	_, err = client.Update(ctx, key, optistore.Changes{Attributes: map[string]any{"f": func() {}}})
	expectUsage(t, err, "attributes")
	_, err = client.Get(ctx, "nothing")
	expectReason(t, err, "RESULT_NOT_FOUND")
	for _, err := range client.List(ctx, optistore.ListOptions{Filter: "tags. ="}) {
		expectReason(t, err, "FILTER_INVALID")
	}
}

func TestListsGoThroughTheirPages(t *testing.T) {
	client, ctx := dial(t, ""), t.Context()
	for n := range 7 {
		writer := ok(client.Save(ctx, nameOf(t)+"/"+itoa(n), xAndLabel(), optistore.WithTags(map[string]string{"odd": itoa(n % 2)})))(t)
		ok(writer.Commit(ctx))(t)
		must(t, writer.Close())
	}
	var keys string
	for result, err := range client.List(ctx, optistore.ListOptions{Prefix: nameOf(t) + "/", PageSize: 2, OrderBy: "key desc"}) {
		must(t, err)
		keys += result.GetKey()[len(nameOf(t))+1:]
	}
	expectEqual(t, keys, "6543210")
	for result, err := range client.List(ctx, optistore.ListOptions{Prefix: nameOf(t) + "/", Tags: map[string]string{"odd": "1"}}) {
		must(t, err)
		expectEqual(t, result.GetKey(), nameOf(t)+"/1")
		break
	}
}

func TestUploadsAreListedAndGivenUp(t *testing.T) {
	client, ctx := dial(t, ""), t.Context()
	writer := ok(client.Save(ctx, nameOf(t), xAndLabel()))(t)
	defer writer.Close()
	must(t, writer.Append(ctx, numbered(0, 3)))
	ok(writer.Flush(ctx))(t)
	found := 0
	for upload, err := range client.ListUploads(ctx, nameOf(t)) {
		must(t, err)
		expectEqual(t, []any{upload.GetUploadId(), upload.GetDurableRowCount()}, []any{writer.UploadID(), uint64(3)})
		found++
	}
	expectEqual(t, found, 1)
	must(t, client.AbortUpload(ctx, writer.UploadID()))
	_, err := writer.Commit(ctx)
	expectReason(t, err, "UPLOAD_ABORTED")
	expectReason(t, client.AbortUpload(ctx, "none"), "UPLOAD_NOT_FOUND")
}

func TestResultsAreExtendedCopiedAndMoved(t *testing.T) {
	client, ctx := dial(t, ""), t.Context()
	key := save(t, client, 100)
	writer := ok(client.Append(ctx, key, optistore.WithTags(map[string]string{"more": "yes"})))(t)
	expectEqual(t, writer.NextRow(), uint64(100))
	must(t, writer.Append(ctx, numbered(100, 50)))
	ok(writer.Commit(ctx))(t)
	must(t, writer.Close())
	told := 0
	copied := ok(client.Copy(ctx, key, key+"/copy", optistore.CopyOptions{OnProgress: func(_, _ uint64) { told++ }}))(t)
	expectEqual(t, []any{copied.GetRowCount(), copied.GetTags()["more"], told > 0}, []any{uint64(150), "yes", true})
	_, err := client.Copy(ctx, key, key+"/copy", optistore.CopyOptions{})
	expectReason(t, err, "REVISION_MISMATCH")
	ok(client.Move(ctx, key+"/copy", key+"/moved", optistore.CopyOptions{}))(t)
	expectNumbered(t, ok(ok(client.Load(ctx, key+"/moved"))(t).ReadAll())(t), 0, 150)
	_, err = client.Get(ctx, key+"/copy")
	expectReason(t, err, "RESULT_NOT_FOUND")
	_, err = client.Append(ctx, key+"/copy")
	expectReason(t, err, "RESULT_NOT_FOUND")
	_, err = client.Save(ctx, key, xAndLabel(), optistore.WithExpectedRevision(0))
	expectReason(t, err, "REVISION_MISMATCH")
}

func TestTwoStores(t *testing.T) {
	folder, ctx := t.TempDir(), t.Context()
	daemon, err := startDaemon("--config", write(t, folder, "c.yaml", `{"primary": {"type": "leveldb", "path": "`+folder+`/data"},
		"secondary": {"type": "filesystem", "base_path": "`+folder+`/backup"}, "cache_size_mb": 10, "listen": "127.0.0.1:0"}`))
	must(t, err)
	t.Cleanup(daemon.kill)
	client := dial(t, daemon.address)
	writer := ok(client.Save(ctx, "k", xAndLabel(), optistore.WithReplication(optistore.ReplicateSync)))(t)
	must(t, writer.Append(ctx, numbered(0, 10)))
	expectEqual(t, ok(writer.Commit(ctx))(t).GetReplication(), pb.ReplicationState_REPLICATION_STATE_DONE)
	memory := ok(client.Save(ctx, "m", xAndLabel(), optistore.ToCache()))(t)
	ok(memory.Commit(ctx))(t)
	ok(client.Load(ctx, "k", optistore.WithFrom(optistore.Secondary)))(t).Close()

	checked := 0
	for answer, err := range client.Verify(ctx, optistore.VerifyOptions{Prefix: "k"}) {
		must(t, err)
		expectEqual(t, answer.GetState(), pb.VerifyState_VERIFY_STATE_OK)
		checked++
	}
	expectEqual(t, checked, 2)
	for _, err := range client.Replicate(ctx, "") {
		must(t, err)
	}
	isDone := false
	for answer, err := range client.Migrate(ctx, optistore.MigrateOptions{Key: "m", From: optistore.Cache, To: optistore.Primary}) {
		must(t, err)
		isDone = isDone || answer.GetDone()
	}
	expectEqual(t, isDone, true)
	for answer, err := range client.MigrateStore(ctx) {
		must(t, err)
		isDone = answer.GetComplete()
	}
	expectEqual(t, isDone, true)
	expectEqual(t, ok(client.Status(ctx))(t).GetBackends()[1].GetRole(), optistore.Secondary)
	ok(client.Delete(ctx, "k", optistore.DeleteOptions{From: optistore.Secondary}))(t)
	for _, err := range client.Migrate(ctx, optistore.MigrateOptions{From: optistore.Cache, To: optistore.Primary}) {
		expectReason(t, err, "REQUEST_INVALID")
	}
}

func TestAWatchOutlivesTheDaemon(t *testing.T) {
	running, restart := killable(t)
	client := dial(t, running.address)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	commit := func(key string) {
		writer := ok(client.Save(t.Context(), key, xAndLabel()))(t)
		ok(writer.Commit(t.Context()))(t)
		must(t, writer.Close())
	}
	commit("a")
	var told string
	var last error
	for event, err := range client.Watch(ctx, optistore.WatchOptions{AfterEvent: optistore.Revision(0)}) {
		if last = err; err != nil {
			break
		}
		key := event.GetCommitted().GetKey()
		told += key
		switch key {
		case "a":
			running.kill()
			restart()
			go func() {
				for {
					if writer, err := client.Save(t.Context(), "b", xAndLabel()); err == nil {
						_, _ = writer.Commit(t.Context())
						_ = writer.Close()
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
		case "b":
			cancel()
		}
	}
	expectEqual(t, told, "ab")
	if !errors.Is(last, context.Canceled) {
		t.Fatal(last)
	}
}

func TestATokenIsNotSentUnencryptedOverTheNetwork(t *testing.T) {
	for address, isTaken := range map[string]bool{
		"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "unix:/tmp/none": true,
		"127.0.0.1.example.org:1": false, "example.org:1": false, "10.0.0.1:1": false, "localhost.example.org:1": false,
	} {
		client, err := optistore.Dial(address, optistore.WithToken("t"))
		if isTaken {
			must(t, err)
			must(t, client.Close())
			continue
		}
		expectUsage(t, err, "unencrypted")
		for _, option := range []optistore.Option{optistore.WithInsecure(), optistore.WithTLSFiles(optistore.TLSFiles{})} {
			must(t, ok(optistore.Dial(address, optistore.WithToken("t"), option))(t).Close())
		}
	}
	t.Setenv("OPTISTORE_TOKEN", "t")
	_, err := optistore.Dial("example.org:1")
	expectUsage(t, err, "unencrypted")
	t.Setenv("OPTISTORE_INSECURE", "true")
	must(t, ok(optistore.Dial("example.org:1"))(t).Close())
	_, err = optistore.Dial("", optistore.WithTLSFiles(optistore.TLSFiles{CA: filepath.Join(t.TempDir(), "none")}))
	expectUsage(t, err, "can't be read")
}

func TestAfterItsCloseAClientSaysSo(t *testing.T) {
	client := ok(optistore.Dial("unix:" + os.Getenv("OPTISTORE_TEST_SOCKET")))(t)
	writer := ok(client.Save(t.Context(), nameOf(t), xAndLabel()))(t)
	must(t, client.Close())
	must(t, client.Close())
	if _, err := writer.Commit(t.Context()); !contains(err, "client was closed") {
		t.Fatal(err)
	}
	if _, err := client.Status(t.Context()); !contains(err, "client was closed") {
		t.Fatal(err)
	}
}
