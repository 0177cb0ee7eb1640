// linnet-build is linnet with build and cache, which hold a BuildKit session. They are a program of
// their own because what they link takes longer to start than most commands take to run; linnet
// becomes it when it is asked for one of them.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/buildcmd"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

func main() {
	// A build's client makes little and ends soon: collecting garbage less often is a twentieth of a cached build.
	debug.SetGCPercent(400)
	os.Exit(cli.Main(context.Background(), route.Build, os.Args[1:], streams.System(), buildcmd.Commands))
}
