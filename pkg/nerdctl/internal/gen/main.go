// Command gen writes pkg/nerdctl/tables_gen.go from the pinned nerdctl's own command tree.
//
// Run it as "make update" does, from the repository: go run ./pkg/nerdctl/internal/gen
// With -check it writes nothing and fails when the file is not what it would write.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/linnet-dev/linnet/pkg/nerdctl/internal/oracle"
	"github.com/linnet-dev/linnet/pkg/nerdctl/internal/tables"
)

func main() {
	check := flag.Bool("check", false, "compare instead of write")
	flag.Parse()
	if err := run(context.Background(), *check); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check bool) error {
	o, err := oracle.Build(ctx)
	if err != nil {
		return err
	}
	want, err := tables.Generate(ctx, o)
	if err != nil {
		return fmt.Errorf("generating nerdctl's tables: %w", err)
	}
	file := filepath.Join(o.Repository, "pkg", "nerdctl", "tables_gen.go")
	if !check {
		return os.WriteFile(file, want, 0o644)
	}
	have, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if string(have) != string(want) {
		return fmt.Errorf("%s is out of date: run make update", file)
	}
	return nil
}
