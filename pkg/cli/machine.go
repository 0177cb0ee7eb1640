package cli

import (
	"errors"

	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// machine is the engine in a virtual machine.
func (*app) machine(host.Layout, *settings.Settings, string) (engine, error) {
	return nil, &host.HintError{
		Err: errors.New(`choosing the backend: "lima" is not available in this build`),
		Fix: "run linnet on Linux as root, with backend: auto or native",
	}
}
