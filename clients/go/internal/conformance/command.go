package main

import (
	"encoding/json"
	"strconv"
	"strings"

	optistore "github.com/optistore/optistore/clients/go"
	pb "github.com/optistore/optistore/clients/go/optistorev1"
)

// number is one, or a string of one.
type number uint64

func (n *number) UnmarshalJSON(text []byte) error {
	value, err := strconv.ParseUint(strings.Trim(string(text), `"`), 10, 64)
	*n = number(value)
	return err
}

// optional gives nil for what is not said.
func (n *number) optional() *uint64 { return (*uint64)(n) }

// command is one as README.md has it; what is nil was not said.
type command struct {
	Do               string
	Client           string
	Address          string
	Token            string
	Writer           string
	Reader           string
	Watcher          string
	Key              string
	ToKey            string `json:"to_key"`
	Name             string
	Prefix           string
	Problem          json.RawMessage
	Columns          json.RawMessage
	Rows             []uint64
	Operation        string
	Parents          []string
	UploadID         string `json:"upload_id"`
	Tags             map[string]*string
	Attributes       map[string]any
	Description      *string
	CreatedBy        string `json:"created_by"`
	Outcome          string
	ExpectedRevision *number `json:"expected_revision"`
	Revision         *number
	Replicate        string
	From             string
	To               string
	KeepSource       bool `json:"keep_source"`
	Repair           bool
	FirstRow         number  `json:"first_row"`
	RowCount         *number `json:"row_count"`
	ResultSet        *string `json:"result_set"`
	SampleRows       uint32  `json:"sample_rows"`
	MaxBatchBytes    uint32  `json:"max_batch_bytes"`
	Follow           bool
	Filter           string
	OrderBy          string  `json:"order_by"`
	PageSize         uint32  `json:"page_size"`
	AfterEvent       *number `json:"after_event"`
	ResultSets       []struct {
		Name        string
		Rows        []uint64
		Description string
		CreatedBy   string `json:"created_by"`
	} `json:"result_sets"`
}

var stores = map[string]optistore.Backend{"primary": optistore.Primary, "secondary": optistore.Secondary, "cache": optistore.Cache}

var modes = map[string]optistore.Replication{
	"none": optistore.ReplicateNone, "async": optistore.ReplicateAsync, "sync": optistore.ReplicateSync,
}

func (c *command) saveOptions() (options []optistore.SaveOption) {
	if c.UploadID != "" {
		options = append(options, optistore.WithUploadID(c.UploadID))
	}
	if set, _ := c.tags(); len(set) > 0 {
		options = append(options, optistore.WithTags(set))
	}
	if c.Attributes != nil {
		options = append(options, optistore.WithAttributes(c.Attributes))
	}
	if c.Description != nil {
		options = append(options, optistore.WithDescription(*c.Description))
	}
	if c.ExpectedRevision != nil {
		options = append(options, optistore.WithExpectedRevision(uint64(*c.ExpectedRevision)))
	}
	if c.Replicate != "" {
		options = append(options, optistore.WithReplication(modes[c.Replicate]))
	}
	if c.To == "cache" {
		options = append(options, optistore.ToCache())
	}
	return options
}

// tags gives those to set, and the names of those to remove.
func (c *command) tags() (set map[string]string, removed []string) {
	set = map[string]string{}
	for name, value := range c.Tags {
		if value == nil {
			removed = append(removed, name)
		} else {
			set[name] = *value
		}
	}
	return set, removed
}

func (c *command) commitOptions() (options []optistore.CommitOption) {
	if c.Outcome != "" {
		options = append(options, optistore.WithOutcome(optistore.Outcome(pb.Outcome_value[c.Outcome])))
	}
	for _, set := range c.ResultSets {
		options = append(options, optistore.WithSet(optistore.Set{
			Name: set.Name, Rows: optistore.RowList(set.Rows...), Description: set.Description, CreatedBy: set.CreatedBy,
		}))
	}
	return options
}

func (c *command) loadOptions() (options []optistore.LoadOption) {
	var columns []string
	if json.Unmarshal(c.Columns, &columns) == nil {
		options = append(options, optistore.WithColumns(columns...))
	}
	if c.RowCount != nil {
		options = append(options, optistore.WithRows(uint64(c.FirstRow), uint64(c.FirstRow+*c.RowCount)))
	} else if c.FirstRow > 0 {
		options = append(options, optistore.WithFirstRow(uint64(c.FirstRow)))
	}
	if c.Revision != nil {
		options = append(options, optistore.WithRevision(uint64(*c.Revision)))
	}
	if c.ResultSet != nil {
		options = append(options, optistore.WithResultSet(*c.ResultSet))
	}
	if c.SampleRows != 0 {
		options = append(options, optistore.WithSampleRows(c.SampleRows))
	}
	if c.From != "" {
		options = append(options, optistore.WithFrom(stores[c.From]))
	}
	if c.MaxBatchBytes != 0 {
		options = append(options, optistore.WithMaxBatchBytes(c.MaxBatchBytes))
	}
	if c.Follow {
		options = append(options, optistore.WithFollow(c.UploadID))
	}
	return options
}
