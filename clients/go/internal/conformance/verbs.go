package main

import (
	"context"
	"encoding/json"
	"io"

	optistore "github.com/optistore/optistore/clients/go"
	pb "github.com/optistore/optistore/clients/go/optistorev1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type verb func(*driver, context.Context, *command) (answer, error)

// verbs by the names of README.md.
var verbs = map[string]verb{
	"connect": func(d *driver, _ context.Context, c *command) (answer, error) {
		client, err := optistore.Dial(c.Address, optistore.WithToken(c.Token))
		d.clients[c.Client] = client
		return nil, err
	},
	"reset": func(d *driver, _ context.Context, _ *command) (answer, error) {
		d.reset()
		return nil, nil
	},
	"save": func(d *driver, ctx context.Context, c *command) (answer, error) {
		problem := &optistore.Problem{}
		if err := protojson.Unmarshal(c.Problem, problem); err != nil {
			panic(err)
		}
		writer, err := d.clients[c.Client].Save(ctx, c.Key, problem, c.saveOptions()...)
		return d.opened(c, writer, err)
	},
	"extend": func(d *driver, ctx context.Context, c *command) (answer, error) {
		writer, err := d.clients[c.Client].Append(ctx, c.Key, c.saveOptions()...)
		return d.opened(c, writer, err)
	},
	"append": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return nil, d.writers[c.Writer].Append(ctx, c.inputs())
	},
	"append_each": appendEach,
	"append_flushed": func(d *driver, ctx context.Context, c *command) (answer, error) {
		if err := d.writers[c.Writer].Append(ctx, c.inputs()); err != nil {
			return nil, err
		}
		return flush(d, ctx, c)
	},
	"flush": flush,
	"commit": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return withResult(d.writers[c.Writer].Commit(ctx, c.commitOptions()...))
	},
	"close": func(d *driver, _ context.Context, c *command) (answer, error) {
		return nil, d.writers[c.Writer].Close()
	},
	"load":         load,
	"load_batches": loadBatches,
	"begin_load": func(d *driver, ctx context.Context, c *command) (answer, error) {
		reader, err := d.clients[c.Client].Load(ctx, c.Key, c.loadOptions()...)
		if err != nil {
			return nil, err
		}
		d.readers[c.Reader] = reader
		return answer{"result": message(reader.Header().GetResult())}, nil
	},
	"next": func(d *driver, _ context.Context, c *command) (answer, error) {
		rows := uint64(1)
		if c.RowCount != nil {
			rows = uint64(*c.RowCount)
		}
		return read(d.readers[c.Reader], &rows)
	},
	"rest": func(d *driver, _ context.Context, c *command) (answer, error) {
		told, err := read(d.readers[c.Reader], nil)
		if committed := d.readers[c.Reader].Committed(); err == nil && committed != nil {
			told["committed"] = message(committed)
		}
		return told, err
	},
	"leave": func(d *driver, _ context.Context, c *command) (answer, error) {
		if c.Reader != "" {
			d.readers[c.Reader].Close()
		} else {
			d.watchers[c.Watcher].stop()
		}
		return nil, nil
	},
	"get": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return withResult(d.clients[c.Client].Get(ctx, c.Key))
	},
	"list":   list,
	"update": update,
	"delete": func(d *driver, ctx context.Context, c *command) (answer, error) {
		revision, err := d.clients[c.Client].Delete(ctx, c.Key, optistore.DeleteOptions{
			ExpectedRevision: c.ExpectedRevision.optional(), From: stores[c.From],
		})
		return answer{"revision": revision}, err
	},
	"put_set": putSet,
	"delete_set": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return withResult(d.clients[c.Client].DeleteResultSet(ctx, c.Key, c.Name, nil))
	},
	"copy": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return withResult(d.clients[c.Client].Copy(ctx, c.Key, c.ToKey, optistore.CopyOptions{}))
	},
	"move": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return withResult(d.clients[c.Client].Move(ctx, c.Key, c.ToKey, optistore.CopyOptions{}))
	},
	"migrate": func(d *driver, ctx context.Context, c *command) (answer, error) {
		all, err := collected(d.clients[c.Client].Migrate(ctx, optistore.MigrateOptions{
			Key: c.Key, Prefix: c.Prefix, From: stores[c.From], To: stores[c.To], KeepSource: c.KeepSource,
		}))
		return last(all, err)
	},
	"replicate": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return last(collected(d.clients[c.Client].Replicate(ctx, c.Prefix)))
	},
	"verify": func(d *driver, ctx context.Context, c *command) (answer, error) {
		copies, err := collected(d.clients[c.Client].Verify(ctx, optistore.VerifyOptions{
			Prefix: c.Prefix, From: stores[c.From], Repair: c.Repair,
		}))
		return answer{"copies": copies}, err
	},
	"uploads": func(d *driver, ctx context.Context, c *command) (answer, error) {
		uploads, err := collected(d.clients[c.Client].ListUploads(ctx, c.Prefix))
		return answer{"uploads": uploads}, err
	},
	"abort": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return nil, d.clients[c.Client].AbortUpload(ctx, c.UploadID)
	},
	"status": func(d *driver, ctx context.Context, c *command) (answer, error) {
		return withMessage("status")(d.clients[c.Client].Status(ctx))
	},
	"watch":      watch,
	"next_event": nextEvent,
}

func (d *driver) opened(c *command, writer *optistore.Writer, err error) (answer, error) {
	if err != nil {
		return nil, err
	}
	d.writers[c.Writer] = writer
	told := answer{"upload_id": writer.UploadID(), "next_row": writer.NextRow()}
	if committed := writer.Committed(); committed != nil {
		told["committed"] = message(committed)
	}
	return told, nil
}

func appendEach(d *driver, ctx context.Context, c *command) (answer, error) {
	writer, columns := d.writers[c.Writer], c.inputs()
	var given map[string]column
	if err := json.Unmarshal(c.Columns, &given); err != nil {
		panic(err)
	}
	rows := 0
	for _, column := range given {
		rows = len(column.Values)
	}
	for at := range rows {
		if err := writer.AppendRow(ctx, row(columns, writer.Problem(), at)...); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func flush(d *driver, ctx context.Context, c *command) (answer, error) {
	durable, err := d.writers[c.Writer].Flush(ctx)
	return answer{"durable_row_count": durable}, err
}

func load(d *driver, ctx context.Context, c *command) (answer, error) {
	reader, err := d.clients[c.Client].Load(ctx, c.Key, c.loadOptions()...)
	if err != nil {
		return nil, err
	}
	all, err := reader.ReadAll()
	if err != nil {
		return nil, err
	}
	header := reader.Header()
	told := answer{
		"result": message(header.GetResult()), "first_row": all.FirstRow, "served_from": header.GetServedFrom().String(),
		"stale": header.GetStale(), "columns": written([]*optistore.Batch{all}),
	}
	if c.ResultSet != nil || header.GetSample() != nil {
		told["row_numbers"] = append([]uint64{}, all.RowNumbers...)
	}
	if header.GetSample() != nil {
		told["sample"] = message(header.GetSample())
	}
	return told, nil
}

func loadBatches(d *driver, ctx context.Context, c *command) (answer, error) {
	reader, err := d.clients[c.Client].Load(ctx, c.Key, c.loadOptions()...)
	if err != nil {
		return nil, err
	}
	var batches []*optistore.Batch
	for batch, err := range reader.Batches() {
		if err != nil {
			return nil, err
		}
		batches = append(batches, batch)
	}
	told := answer{"first_row": reader.Header().GetFirstRow(), "batch_count": len(batches), "columns": written(batches)}
	return withNumbers(told, batches), nil
}

// read takes batches until there are so many rows, or to the end.
func read(reader *optistore.Reader, rows *uint64) (answer, error) {
	var batches []*optistore.Batch
	first, count := reader.NextRow(), uint64(0)
	for rows == nil || count < *rows {
		batch, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		batches = append(batches, batch)
		count += uint64(batch.RowCount)
	}
	return withNumbers(answer{"first_row": first, "end_row": first + count, "columns": written(batches)}, batches), nil
}

// withNumbers tells which rows batches have, where these are told by their numbers.
func withNumbers(told answer, batches []*optistore.Batch) answer {
	var numbers []uint64
	for _, batch := range batches {
		numbers = append(numbers, batch.RowNumbers...)
	}
	if len(numbers) > 0 {
		told["row_numbers"] = numbers
	}
	return told
}

func list(d *driver, ctx context.Context, c *command) (answer, error) {
	set, _ := c.tags()
	unreachable := []string{}
	results, err := collected(d.clients[c.Client].List(ctx, optistore.ListOptions{
		Prefix: c.Prefix, Tags: set, Filter: c.Filter, OrderBy: c.OrderBy, PageSize: c.PageSize,
		OnUnreachable: func(stores []string) { unreachable = append(unreachable, stores...) },
	}))
	return answer{"results": results, "unreachable": unreachable}, err
}

func update(d *driver, ctx context.Context, c *command) (answer, error) {
	set, removed := c.tags()
	changes := optistore.Changes{
		Tags: set, RemoveTags: removed, Attributes: c.Attributes, Description: c.Description, ExpectedRevision: c.ExpectedRevision.optional(),
	}
	if c.Outcome != "" {
		outcome := optistore.Outcome(pb.Outcome_value[c.Outcome])
		changes.Outcome = &outcome
	}
	return withResult(d.clients[c.Client].Update(ctx, c.Key, changes))
}

func putSet(d *driver, ctx context.Context, c *command) (answer, error) {
	set := optistore.Set{
		Name: c.Name, Operation: pb.SetOperation(pb.SetOperation_value[c.Operation]), Parents: c.Parents,
		CreatedBy: c.CreatedBy, ExpectedRevision: c.ExpectedRevision.optional(),
	}
	if c.Rows != nil {
		set.Rows = optistore.RowList(c.Rows...)
	}
	if c.Description != nil {
		set.Description = *c.Description
	}
	return withResult(d.clients[c.Client].PutResultSet(ctx, c.Key, set))
}

func watch(d *driver, ctx context.Context, c *command) (answer, error) {
	watcher := watcherOf(d.clients[c.Client].Watch(ctx, optistore.WatchOptions{Prefix: c.Prefix, AfterEvent: c.AfterEvent.optional()}))
	d.watchers[c.Watcher] = watcher
	if c.AfterEvent != nil {
		return nil, nil
	}
	// The first message says that it has begun.
	_, err, _ := watcher.next()
	return nil, err
}

func nextEvent(d *driver, _ context.Context, c *command) (answer, error) {
	for {
		event, err, isThere := d.watchers[c.Watcher].next()
		if err != nil || !isThere {
			return nil, err
		}
		if event.GetEvent() == nil {
			continue
		}
		told := answer{}
		return told, json.Unmarshal(message(event), &told)
	}
}

func withResult(result *optistore.Result, err error) (answer, error) {
	return withMessage("result")(result, err)
}

func withMessage(name string) func(of proto.Message, err error) (answer, error) {
	return func(of proto.Message, err error) (answer, error) {
		if err != nil {
			return nil, err
		}
		return answer{name: message(of)}, nil
	}
}

func last(all []json.RawMessage, err error) (answer, error) {
	if err != nil {
		return nil, err
	}
	return answer{"last": all[len(all)-1]}, nil
}
