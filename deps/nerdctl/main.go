// Command nerdctl is the engine's command program: the pinned nerdctl as a library, under a main of ours.
//
// Its commands are nerdctl's own, by their exported constructors. What is ours is what has to be at the place where a
// container is made: the container's variables come as data on a descriptor (variables.go), and nowhere else; and the
// mends that the program was built with are named (mends.go). It must not know what a client is, nor where one runs.
package main

import (
	"os"

	"github.com/containerd/log"

	"github.com/containerd/nerdctl/v2/pkg/errutil"
	"github.com/containerd/nerdctl/v2/pkg/logging"
)

func main() {
	if err := run(os.Args); err != nil {
		errutil.HandleExitCoder(err)
		log.L.Fatal(err)
	}
}

// run is the whole program. containerd starts it, too: as what writes a container's log, for a log URI of nerdctl's.
func run(argv []string) error {
	if len(argv) == 3 && argv[1] == logging.MagicArgv1 {
		return logging.Main(argv[2])
	}
	if err := dropSavedUID(); err != nil {
		return err
	}
	root, err := newRoot()
	if err != nil {
		return err
	}
	return root.Execute()
}
