// linnet-lint is linnet with lint. It is a program of its own because it links both what reads Dockerfiles and what reads compose files,
// which would slow the start of builds; linnet becomes it when it is asked for lint.
package main

import (
	"context"
	"os"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/lintcmd"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

func main() {
	os.Exit(cli.Main(context.Background(), route.Lint, os.Args[1:], streams.System(), lintcmd.Commands))
}
