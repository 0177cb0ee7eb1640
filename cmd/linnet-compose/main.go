// linnet-compose is linnet with the commands of compose that may build. They are a program of their
// own because what reads compose files takes nearly as long to start as what builds, and linnet-build
// can do without; linnet becomes it when it is asked for one of them.
package main

import (
	"context"
	"os"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/composecmd"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

func main() {
	os.Exit(cli.Main(context.Background(), route.Compose, os.Args[1:], streams.System(), composecmd.Commands))
}
