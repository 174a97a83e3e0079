package optistore_test

import (
	"fmt"
	"testing"

	optistore "github.com/optistore/optistore/clients/go"
)

// benchmarkRows of 40 float64 columns are 1 GB.
const (
	benchmarkColumns = 40
	benchmarkRows    = 1_000_000_000 / 8 / benchmarkColumns
	benchmarkPiece   = 25_000
)

func benchmarkProblem() (*optistore.Problem, optistore.Columns) {
	problem, columns := &optistore.Problem{}, optistore.Columns{}
	for c := range benchmarkColumns {
		values := make([]float64, benchmarkPiece)
		for row := range values {
			values[row] = float64(row*c) / 7
		}
		name := fmt.Sprintf("c%d", c)
		problem.Variables = append(problem.Variables, variable(name, optistore.Float64))
		columns[name] = values
	}
	return problem, columns
}

// BenchmarkSave saves 1 GB: go test -run xxx -bench . -benchtime 3x.
func BenchmarkSave(b *testing.B) {
	client := dial(b, "")
	problem, columns := benchmarkProblem()
	b.SetBytes(benchmarkRows * benchmarkColumns * 8)
	for b.Loop() {
		writer := ok(client.Save(b.Context(), "benchmark", problem))(b)
		for range benchmarkRows / benchmarkPiece {
			must(b, writer.Append(b.Context(), columns))
		}
		ok(writer.Commit(b.Context()))(b)
		must(b, writer.Close())
	}
}

// BenchmarkLoad loads what BenchmarkSave saved, and sums a column.
func BenchmarkLoad(b *testing.B) {
	client := dial(b, "")
	b.SetBytes(benchmarkRows * benchmarkColumns * 8)
	for b.Loop() {
		sum := 0.0
		for batch, err := range ok(client.Load(b.Context(), "benchmark"))(b).Batches() {
			must(b, err)
			for _, value := range ok(batch.Float64("c39"))(b).Values {
				sum += value
			}
		}
		if sum == 0 {
			b.Fatal("nothing was loaded")
		}
	}
}

// BenchmarkAppendRow appends rows of 40 columns one by one.
func BenchmarkAppendRow(b *testing.B) {
	client := dial(b, "")
	problem, _ := benchmarkProblem()
	writer := ok(client.Save(b.Context(), "benchmark/rows", problem))(b)
	defer writer.Close()
	row := make([]any, benchmarkColumns)
	for c := range row {
		row[c] = float64(c)
	}
	for b.Loop() {
		must(b, writer.AppendRow(b.Context(), row...))
	}
	ok(writer.Commit(b.Context()))(b)
}
