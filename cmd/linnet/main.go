// linnet builds, runs and composes containers on a developer's own machine.
package main

import (
	"context"
	"os"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

func main() { os.Exit(cli.Main(context.Background(), route.Client, os.Args[1:], streams.System())) }
