package buildcmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// cannotRun adds to a step's failure that programs of its platform do not run here, if that may
// be why: the kernel's own words are in the step's output, and the step's exit code is runc's.
func cannotRun(err, foreign error) error {
	text := err.Error()
	if foreign == nil || !strings.Contains(text, "exec format error") && !strings.Contains(text, "exit code: 255") {
		return err
	}
	fix := "linnet emulation status"
	var hinted interface{ Hint() string }
	if errors.As(foreign, &hinted) {
		fix = hinted.Hint()
	}
	return &host.HintError{Err: fmt.Errorf("%w (%s)", err, strings.ReplaceAll(foreign.Error(), "\n", "; ")), Fix: fix}
}
