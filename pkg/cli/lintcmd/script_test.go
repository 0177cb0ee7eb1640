package lintcmd_test

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/lintcmd"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// The test binary is linnet-lint, which linnet becomes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		string(route.Client): func() {
			os.Exit(cli.Main(context.Background(), route.Lint, os.Args[1:], streams.System(), lintcmd.Commands))
		},
	})
}

// TestScripts runs testdata/script: lint as a user types it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}
