//go:build e2e

package nerdctl_test

import (
	"os"
	"testing"

	"github.com/linnet-dev/linnet/pkg/nerdctl/internal/oracle"
	"github.com/linnet-dev/linnet/pkg/nerdctl/internal/tables"
)

// TestTablesAreGenerated from the nerdctl that is pinned now.
func TestTablesAreGenerated(t *testing.T) {
	o, err := oracle.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := tables.Generate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("tables_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != string(want) {
		t.Error("tables_gen.go is not what the pinned nerdctl says: run make update")
	}
}

// TestOracleIsBuiltOnce: the second build finds the first by its content.
func TestOracleIsBuiltOnce(t *testing.T) {
	first, err := oracle.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first.Program)
	if err != nil {
		t.Fatal(err)
	}
	second, err := oracle.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(second.Program)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("%v: %s was built again", err, second.Program)
	}
}
