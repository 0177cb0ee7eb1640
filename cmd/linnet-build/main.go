// linnet-build is linnet with build and cache, which hold a BuildKit session. They are a program of
// their own because what they link takes longer to start than most commands take to run; linnet
// becomes it when it is asked for one of them.
package main

import (
	"context"
	"os"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/buildcmd"
	"github.com/linnet-dev/linnet/pkg/streams"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], streams.System(), buildcmd.Commands))
}
