package optistore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	optistore "github.com/optistore/optistore/clients/go"
)

func Example() {
	ctx := context.Background()
	client, err := optistore.Dial("") // OPTISTORE_SERVER, else 127.0.0.1:50051
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	problem := &optistore.Problem{Name: "sphere", Variables: []*optistore.Variable{
		{Name: "x", Role: optistore.DesignVariable, ValueType: optistore.Float64},
		{Name: "f", Role: optistore.Objective, ValueType: optistore.Float64, Direction: optistore.Minimize},
		{Name: "note", Role: optistore.Observable, ValueType: optistore.String},
	}}
	writer, err := client.Save(ctx, "runs/sphere", problem,
		optistore.WithUploadID("sphere-1"), // the same id resumes it after a crash, at writer.NextRow()
		optistore.WithTags(map[string]string{"team": "wing"}))
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()
	for row := writer.NextRow(); row < 100; row++ {
		x := float64(row)/8 - 5
		if err := writer.AppendRow(ctx, x, x*x, nil); err != nil { // nil: the value is missing
			log.Fatal(err)
		}
	}
	result, err := writer.Commit(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.GetRowCount(), "rows, the best is", result.GetColumns()[1].GetBest())

	reader, err := client.Load(ctx, "runs/sphere", optistore.WithColumns("f"), optistore.WithRows(90, 100))
	if err != nil {
		log.Fatal(err)
	}
	for batch, err := range reader.Batches() {
		if err != nil {
			log.Fatal(err)
		}
		f, err := batch.Float64("f")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("from row", batch.FirstRow, f.Values[:3])
	}
	// Output:
	// 100 rows, the best is 0
	// from row 90 [39.0625 40.640625 42.25]
}

func ExampleWriter_Append() {
	ctx := context.Background()
	client, err := optistore.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	writer, err := client.Save(ctx, "runs/columns", &optistore.Problem{Variables: []*optistore.Variable{
		{Name: "generation", Role: optistore.Observable, ValueType: optistore.Int64},
		{Name: "mass", Role: optistore.Objective, ValueType: optistore.Float64, Direction: optistore.Minimize},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()

	err = writer.Append(ctx, optistore.Columns{
		"generation": []int{0, 0, 1},
		"mass":       optistore.Optional[float64]{Values: []float64{3.5, 0, 2.5}, Valid: []bool{true, false, true}},
	})
	if err != nil {
		log.Fatal(err)
	}
	durable, err := writer.Flush(ctx)
	fmt.Println(durable, err)

	err = writer.Append(ctx, optistore.Columns{"generation": []int{2}})
	var wrong *optistore.UsageError
	fmt.Println(errors.As(err, &wrong), err)
	// Output:
	// 3 <nil>
	// true optistore: the column "mass" is missing; a column is given for each variable
}

func ExampleClient_Get_errors() {
	client, err := optistore.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = client.Get(context.Background(), "runs/nowhere")
	var failed *optistore.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Code, failed.Reason, failed.Retryable())
	}
	// Output: NotFound RESULT_NOT_FOUND false
}

func ExampleClient_List() {
	ctx := context.Background()
	client, err := optistore.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, name := range []string{"a", "b"} {
		writer, err := client.Save(ctx, "listed/"+name, &optistore.Problem{}, optistore.WithTags(map[string]string{"name": name}))
		if err != nil {
			log.Fatal(err)
		}
		if _, err := writer.Commit(ctx); err != nil {
			log.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			log.Fatal(err)
		}
	}

	for result, err := range client.List(ctx, optistore.ListOptions{Prefix: "listed/", Filter: "tags.name = b"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.GetKey())
	}
	// Output: listed/b
}

func ExampleReader_ReadAll() {
	ctx := context.Background()
	client, err := optistore.Dial("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	writer, err := client.Save(ctx, "runs/live", &optistore.Problem{Variables: []*optistore.Variable{
		{Name: "x", Role: optistore.DesignVariable, ValueType: optistore.Float64},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()

	// Rows are read as they are acknowledged, until the commit.
	reader, err := client.Load(ctx, "runs/live", optistore.WithFollow(writer.UploadID()))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		_ = writer.AppendRow(ctx, 0.5)
		_, _ = writer.Commit(ctx)
	}()
	all, err := reader.ReadAll()
	if err != nil {
		log.Fatal(err)
	}
	x, _ := all.Float64("x")
	fmt.Println(x.Values, reader.Committed().GetRowCount())
	// Output: [0.5] 1
}
