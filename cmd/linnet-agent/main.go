//go:build linux

// linnet-agent is the far side of linnet: it runs the engine. Linux only.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := engine.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
