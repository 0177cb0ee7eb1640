//go:build linux

// linnet-agent is the far side of linnet: it runs the engine. Linux only. By other names it
// is what others start in the guest: Docker's credential helper, a CNI plugin, and dockerd's proxy of a published port. Clients run it to fill volumes.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/agentserver"
	"github.com/linnet-dev/linnet/pkg/agentserver/portplugin"
	"github.com/linnet-dev/linnet/pkg/agentserver/portproxy"
	"github.com/linnet-dev/linnet/pkg/engine"
	"github.com/linnet-dev/linnet/pkg/volume"
)

func main() {
	if filepath.Base(os.Args[0]) == portproxy.Name { // which catches no signal
		os.Exit(portproxy.Main(context.Background(), os.Args, os.Environ()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	switch filepath.Base(os.Args[0]) {
	case agentserver.HelperName:
		return agentserver.Helper(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout)
	case portplugin.Name:
		return portplugin.Main(ctx, os.Environ(), os.Stdin, os.Stdout)
	default:
		if len(os.Args) > 1 && os.Args[1] == "volume" {
			return volume.Main(ctx, os.Args[2:], os.Stdin, os.Stderr)
		}
		return engine.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
}
